"""A headless Chromium that looks at pages."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By


class Browser:
    """One window; `open` gives what went wrong while a page was loaded."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))

    def window(self, width: int, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, page: Path) -> list[str]:
        """Wait until the page is drawn; messages in the console, and requests for anything but the page."""
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())
        self.wait("return document.body.dataset.ready === 'yes'")
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        assert page.as_uri() in urls  # or the log would show nothing
        return [str(entry["message"]) for entry in self.driver.get_log("browser")] + [
            url for url in urls if url != page.as_uri() and not url.startswith("data:")
        ]

    def wait(self, script: str) -> Any:
        """Until the script gives something true, at most 30 s."""
        for _ in range(600):
            result = self.driver.execute_script(script)
            if result:
                return result
            time.sleep(0.05)
        raise TimeoutError(script)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def scroll_to(self, element: Any) -> None:
        self.run("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", element)

    def click(self, element: Any) -> None:
        self.scroll_to(element)
        element.click()

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        (element,) = self.all(selector)
        return element
