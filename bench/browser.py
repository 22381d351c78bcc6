"""A first visit to the UI in headless Chromium, with nothing cached."""

from __future__ import annotations

import json
import tempfile
import time
from base64 import b64encode

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from bench.servers import LOGIN, OURS, Server

WAIT = 120  # timeout in seconds for the list


def cold_load(server: Server) -> dict[str, float]:
    """Megabytes (10^6 bytes) received, and seconds until the list of experiments is shown."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with tempfile.TemporaryDirectory() as folder:
        for argument in (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--ignore-certificate-errors", "--no-proxy-server", f"--user-data-dir={folder}"),
        ):
            options.add_argument(argument)
        driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        try:
            if server is OURS:
                # Credentials not in the URL: a page that was opened with them cannot fetch anything.
                login = b64encode(":".join(LOGIN).encode()).decode()
                driver.execute_cdp_cmd("Network.enable", {})
                driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Authorization": f"Basic {login}"}})
            start = time.monotonic()
            driver.get(f"{server.url}/#/experiments")
            shown = (By.XPATH, "//a[contains(@href, '/experiments/')]")
            WebDriverWait(driver, WAIT, 0.05).until(expected_conditions.visibility_of_element_located(shown))
            seconds = time.monotonic() - start
            # Requests after the list is shown belong to the visit.
            time.sleep(3)
            sent = _sent(driver, server)
        finally:
            driver.quit()
    return {"megabytes": sent / 1e6, "seconds": seconds}


def _sent(driver: webdriver.Chrome, server: Server) -> int:
    """Bytes that the server has sent, without what Chromium loads of its own pages."""
    theirs: set[str] = set()
    sent = 0
    for entry in driver.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        about = message["params"]
        if message["method"] == "Network.responseReceived" and about["response"]["url"].startswith(server.url):
            theirs.add(about["requestId"])
        if message["method"] == "Network.loadingFinished" and about["requestId"] in theirs:
            sent += about["encodedDataLength"]
    return sent
