// A membrane with a slit between two reservoirs, in the plane; the 2D counterpart of membrane_pore.geo. Lengths in nm. The membrane fills
// |x| < thickness/2 but for the slit |y| < radius; the box is |x| < thickness/2 + reservoir, |y| < width/2.
// debye, cells, growth, h: as in conical_pore.geo. membrane: 1 if it is part of the mesh, the region "membrane" (a dielectric), 0 if not.
// Regions: solution, membrane. left, right: the far ends; pore_wall; membrane_wall: the membrane's faces; side: the rest, of symmetry;
// membrane_side: that of the membrane, if it is there.
DefineConstant[ radius = 2, thickness = 8, reservoir = 10, width = 20, debye = 1, cells = 4, growth = 0.3, h = 2, membrane = 1 ];

fine = debye/cells;
a = thickness/2;
b = a + reservoir;
c = width/2;

Point(1) = {-b, -c, 0}; Point(2) = {-a, -c, 0}; Point(3) = {a, -c, 0}; Point(4) = {b, -c, 0};
Point(5) = {-a, -radius, 0}; Point(6) = {a, -radius, 0};
Point(7) = {-a, radius, 0}; Point(8) = {a, radius, 0};
Point(9) = {-b, c, 0}; Point(10) = {-a, c, 0}; Point(11) = {a, c, 0}; Point(12) = {b, c, 0};

Line(1) = {1, 2}; Line(2) = {2, 5}; Line(3) = {5, 6}; Line(4) = {6, 3}; Line(5) = {3, 4}; Line(6) = {4, 12};
Line(7) = {12, 11}; Line(8) = {11, 8}; Line(9) = {8, 7}; Line(10) = {7, 10}; Line(11) = {10, 9}; Line(12) = {9, 1};
Curve Loop(1) = {1:12};
Plane Surface(1) = {1};

Physical Surface("solution") = {1};
Physical Curve("left") = {12};
Physical Curve("right") = {6};
Physical Curve("pore_wall") = {3, 9};
Physical Curve("membrane_wall") = {2, 4, 8, 10};
Physical Curve("side") = {1, 5, 7, 11};
If (membrane)
  Line(13) = {2, 3}; Line(14) = {11, 10};
  Curve Loop(2) = {13, -4, -3, -2};
  Curve Loop(3) = {14, -10, -9, -8};
  Plane Surface(2) = {2};
  Plane Surface(3) = {3};
  Physical Surface("membrane") = {2, 3};
  Physical Curve("membrane_side") = {13, 14};
EndIf

Field[1] = Distance;
Field[1].CurvesList = {2, 3, 4, 8, 9, 10};
Field[1].Sampling = Ceil(2*(width + thickness)/fine);
Field[2] = MathEval;
Field[2].F = Sprintf("Min(%g, %g + %g*Max(F1 - %g, 0))", h, fine, growth, debye);
Background Field = 2;
Mesh.MeshSizeFromPoints = 0;
Mesh.MeshSizeExtendFromBoundary = 0;
