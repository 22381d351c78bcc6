"""The UI in a real browser, through nginx, with a login."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).parents[2]
WAIT = 60  # timeout in seconds for something to appear


@pytest.fixture
def browser(server: Any, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Headless Chromium that has logged in. It does not know the test's CA; other tests verify it."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--ignore-certificate-errors",
        "--no-proxy-server",
        "--window-size=1400,900",
        f"--user-data-dir={tmp_path}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    name, password = (quote(part, safe="") for part in server.login)
    address = urlsplit(server.url)
    try:
        driver.get(f"https://{name}:{password}@{address.netloc}{address.path}/")
        yield driver
    finally:
        driver.quit()


def see(browser: webdriver.Chrome, text: str) -> Any:
    """Wait until ``text`` is shown, and return its element."""
    where = (By.XPATH, f"//*[contains(normalize-space(text()), '{text}')]")
    return WebDriverWait(browser, WAIT).until(expected_conditions.visibility_of_element_located(where))


@pytest.mark.usefixtures("example")
def test_the_run_of_the_example_is_visible(server: Any, http: Any, browser: webdriver.Chrome) -> None:
    """The experiment list shows the example's experiment, and its run page the run's metrics."""
    api = server.url + "/api/2.0/mlflow"
    experiment = http.get(api + "/experiments/get-by-name", params={"experiment_name": "wine"}).json()
    identifier = experiment["experiment"]["experiment_id"]
    runs = http.post(api + "/runs/search", json={"experiment_ids": [identifier]}).json()["runs"]
    run = runs[0]["info"]
    browser.get(f"{server.url}/#/experiments")
    see(browser, "wine")
    browser.get(f"{server.url}/#/experiments/{identifier}/runs/{run['run_id']}")
    see(browser, run["run_name"])
    see(browser, "test_accuracy")
    if target := os.environ.get("SCREENSHOT"):
        time.sleep(3)
        browser.save_screenshot(target)


def test_an_experiment_is_made_and_deleted_in_the_ui(server: Any, http: Any, browser: webdriver.Chrome) -> None:
    """Writing works from the UI: hosts and origins are set for the public URL."""
    name = f"made in the browser {time.time_ns()}"
    api = server.url + "/api/2.0/mlflow/experiments/get-by-name"
    browser.get(f"{server.url}/#/experiments")
    WebDriverWait(browser, WAIT).until(
        expected_conditions.element_to_be_clickable((By.XPATH, "//button[contains(., 'Create')]"))
    ).click()
    field = WebDriverWait(browser, WAIT).until(
        expected_conditions.element_to_be_clickable((By.XPATH, "//div[@role='dialog']//input"))
    )
    field.send_keys(name)
    browser.find_element(By.XPATH, "//div[@role='dialog']//button[normalize-space()='Create']").click()
    for _ in range(WAIT):
        if http.get(api, params={"experiment_name": name}).status_code == 200:
            break
        time.sleep(1)
    made = http.get(api, params={"experiment_name": name}).json()["experiment"]
    assert made["lifecycle_stage"] == "active"

    browser.get(f"{server.url}/#/experiments")
    row = f"//tr[contains(., '{name}')] | //div[@role='row'][contains(., '{name}')]"
    WebDriverWait(browser, WAIT).until(expected_conditions.presence_of_element_located((By.XPATH, row)))
    browser.find_element(By.XPATH, f"({row})//input[@type='checkbox'] | ({row})//*[@role='checkbox']").click()
    WebDriverWait(browser, WAIT).until(
        expected_conditions.element_to_be_clickable((By.XPATH, "//button[normalize-space()='Delete']"))
    ).click()
    WebDriverWait(browser, WAIT).until(
        expected_conditions.element_to_be_clickable(
            (By.XPATH, "//div[@role='dialog']//button[normalize-space()='Delete']")
        )
    ).click()
    for _ in range(WAIT):
        if http.get(api, params={"experiment_name": name}).json()["experiment"]["lifecycle_stage"] == "deleted":
            return
        time.sleep(1)
    pytest.fail("the experiment is still there")
