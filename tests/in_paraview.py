"""What ParaView finds in results folders, as JSON; run by its own Python: pvpython in_paraview.py FOLDER..."""

import json
import os
import runpy
import sys

from paraview import servermanager, simple


def file(folder):
    """The series as the default reader has it, and integrals over it by the filter that users take."""
    reader = simple.OpenDataFile(f"{folder}/fields.vtkhdf")
    reader.UpdatePipeline()
    found = {
        "reader": reader.SMProxy.GetXMLName(),
        "point": reader.PointData.keys(),
        "cell": reader.CellData.keys(),
        "times": list(reader.TimestepValues),
        "bounds": reader.GetDataInformation().GetBounds(),
        "integrals": [],
    }
    for time in found["times"]:
        integrals = simple.IntegrateVariables(Input=reader)
        integrals.UpdatePipeline(time)
        table = servermanager.Fetch(integrals)
        arrays = [data.GetArray(k) for data in (table.GetPointData(), table.GetCellData()) for k in range(data.GetNumberOfArrays())]
        found["integrals"].append({array.GetName(): array.GetTuple(0) for array in arrays})
    return found


def state(folder):
    """What the script of the folder makes, and pictures of it at the first and the last time."""
    names = runpy.run_path(f"{folder}/view.py")
    layout, scene, views = names["layout"], names["scene"], names["views"]
    scene.GoToFirst()
    seeds_at_first = points(names["seeds"]) if "seeds" in names else []
    scene.GoToLast()
    simple.SaveScreenshot(f"{folder}/last.png", layout, ImageResolution=[800, 450])
    sources = {}
    for (name, _), source in simple.GetSources().items():
        information = source.GetDataInformation()
        sources[name] = {
            "points": information.GetNumberOfPoints(),
            "cells": information.GetNumberOfCells(),
            "bounds": information.GetBounds(),
        }
        if name.startswith("where") and name.endswith("uphill") and sources[name]["cells"]:
            whole = servermanager.Fetch(simple.IntegrateVariables(Input=source))
            sources[name]["measure"] = whole.GetCellData().GetArray("Area" if names["DIMENSION"] == 2 else "Volume").GetValue(0)
    found = {
        "seeds_at_first": seeds_at_first,
        "sources": sources,
        "views": [view.GetXMLName() for view in views],
        "times": [view.ViewTime for view in views],
    }
    if views[0].GetXMLName() == "RenderView":
        found["seeds"] = points(names["seeds"])
        found["clock"] = servermanager.Fetch(names["time"]).GetRow(0).GetValue(0).ToString()
        found["colors"] = {panel["field"]: list(simple.GetColorTransferFunction(panel["field"]).RGBPoints) for panel in names["PANELS"]}
        views[0].CameraParallelScale *= 2
        simple.Render(views[0])
        found["linked"] = views[-1].CameraParallelScale / views[0].CameraParallelScale
    return found


def points(source):
    data = servermanager.Fetch(source)
    return [data.GetPoint(k) for k in range(data.GetNumberOfPoints())]


def main():
    found = {}
    for folder in sys.argv[1:]:
        found[folder] = {"file": file(folder), "state": None}
        simple.ResetSession()
        if os.path.exists(f"{folder}/view.py"):
            found[folder]["state"] = state(folder)
        simple.ResetSession()
    print(json.dumps(found))


main()
