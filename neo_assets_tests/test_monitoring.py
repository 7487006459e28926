"""What `deploy/` has for Prometheus and Grafana: valid for Prometheus's own tools, and about metrics that there are."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from neo_assets_tests.api.conftest import client_of
from neo_assets_tests.integration.harness import PATIENCE_S, free_port, wait_until
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products

DEPLOY = Path(__file__).parents[1] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


@pytest.fixture(scope="module")
def program() -> Path:
    """Prometheus itself; `promtool` lies beside it."""
    found = shutil.which("prometheus")
    if not found or not shutil.which("promtool"):
        pytest.skip("prometheus and promtool are not on PATH; on Debian: apt-get install prometheus")
    return Path(found)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with client_of(with_products(tmp_path_factory.mktemp("monitored"), fill_from_simulator)) as client:
        client.get("/v1/neos")
        yield client


def promtool(*arguments: str) -> str:
    ran = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_prometheus_takes_what_is_there(program: Path, arguments: tuple[str, ...]) -> None:
    assert "SUCCESS" in promtool(*arguments)


def test_prometheus_takes_the_queries_of_the_dashboard(program: Path, tmp_path: Path) -> None:
    queries = [one.replace("$__rate_interval", "1m").replace("$job", "neo_assets") for one in QUERIES]
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", str(file))


def test_prometheus_finds_nothing_to_complain_of_in_the_metrics(program: Path, api: httpx.Client) -> None:
    text = api.get("/metrics").text
    ran = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_each_alert_is_tried_when_it_is_due_and_when_it_is_not() -> None:
    tried: dict[bool, set[str]] = {True: set(), False: set()}
    for test in yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]:
        for one in test.get("alert_rule_test", ()):
            tried[bool(one["exp_alerts"])].add(one["alertname"])
    names = {rule["alert"] for rule in RULES}
    assert tried[True] == names
    assert names - tried[False] <= {"NeoKeyRefused"}, "which one series shows, beside one that does not"


def test_each_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == rule["annotations"].keys()


def test_each_metric_that_is_named_is_there(api: httpx.Client) -> None:
    described = set(re.findall(r"^# TYPE (\w+) ", api.get("/metrics").text, re.MULTILINE))
    described |= {f"{name}_{part}" for name in described for part in ("bucket", "count") if "duration" in name}
    for text in (*(rule["expr"] for rule in RULES), *QUERIES, json.dumps(DASHBOARD["templating"])):
        assert set(re.findall(r"\bneo_(?!assets)\w+", text)) <= described
    shown = set(re.findall(r"\bneo_\w+", " ".join(QUERIES)))
    hidden = {"neo_snapshot_info", "neo_budget_key_refused", "neo_budget_window_seconds"}
    assert {name for name in described if name.startswith("neo_") and "duration" not in name} - shown == hidden


def test_each_metric_is_documented(api: httpx.Client) -> None:
    operations = (DEPLOY.parent / "docs/operations.md").read_text()
    documented = operations.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    described = re.findall(r"^# TYPE (neo_\w+) ", api.get("/metrics").text, re.MULTILINE)
    assert set(re.findall(r"`(neo_(?!assets)\w+)", documented)) == set(described)


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS)
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_compose_starts_prometheus_with_these_files() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[:2] for volume in services["prometheus"]["volumes"] if volume.startswith("./")]
    assert mounted == [[f"./prometheus/{name}", f"/etc/prometheus/{name}"] for name in ("prometheus.yml", "alerts.yml")]
    [scraped] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    [[target]] = [one["targets"] for one in scraped["static_configs"]]
    host, port = target.split(":")
    assert services[host]["command"][-1] == port
    assert services["prometheus"]["profiles"] == ["monitoring"]


@pytest.mark.slow
def test_a_prometheus_scrapes_the_api_and_judges_the_rules(program: Path, api: httpx.Client, tmp_path: Path) -> None:
    config = (PROMETHEUS / "prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace("api:8080", f"{api.base_url.host}:{api.base_url.port}")
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    at = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    server = subprocess.Popen(
        [program, *options, f"--web.listen-address={at}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ask(query: str) -> list[dict[str, Any]]:
        try:
            response = httpx.get(f"http://{at}/api/v1/query", params={"query": query}, timeout=PATIENCE_S)
            answer = response.raise_for_status().json()
        except (httpx.TransportError, httpx.HTTPStatusError):  # it is starting
            return []
        result: list[dict[str, Any]] = answer.get("data", {}).get("result", [])
        return result

    try:
        assert [one["value"][1] for one in wait_until(lambda: ask("neo_pages_stored"))] == ["2"]
        assert ask('up{job="neo_assets"}')[0]["value"][1] == "1"
        assert ask('neo_snapshot_verdict{verdict="consistent"}')[0]["value"][1] == "1"
        rules = httpx.get(f"http://{at}/api/v1/rules", timeout=PATIENCE_S).json()["data"]["groups"]
        assert {rule["name"] for group in rules for rule in group["rules"]} == {rule["alert"] for rule in RULES}
        assert all(rule["health"] in ("ok", "unknown") for group in rules for rule in group["rules"])
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
