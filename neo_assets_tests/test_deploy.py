"""The files in `deploy/`: what they start exists, what they name is a setting, and they agree with each other and with
the project. Containers, clusters and clouds are not started here.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml
from dagster._cli import cli as dagster_cli
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._daemon.cli import cli as dagster_daemon
from dagster.version import __version__ as dagster_version
from dagster_webserver.cli import dagster_webserver

from neo_assets.cli.main import neo
from neo_assets.settings import ALLOWED
from neo_assets_tests.integration.harness import PATIENCE_S, free_port
from neo_assets_tests.s3_server import S3Server

CHECKOUT = Path(__file__).parents[1]
DEPLOY = CHECKOUT / "deploy"
TEXTS = {path: path.read_text() for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.name != ".env"}
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
DOCKERFILE = TEXTS[DEPLOY / "Dockerfile"].replace("\\\n", "")
ENV_EXAMPLE = TEXTS[DEPLOY / "env.example"]

COMPOSE = yaml.safe_load(TEXTS[DEPLOY / "compose.yaml"])
INSTANCE = yaml.safe_load(TEXTS[DEPLOY / "dagster.yaml"])
VALUES = yaml.safe_load(TEXTS[DEPLOY / "helm/values.yaml"])
CELERY_VALUES = yaml.safe_load(TEXTS[DEPLOY / "helm/values-celery.yaml"])
WORKER = yaml.safe_load(TEXTS[DEPLOY / "helm/celery-worker.yaml"])["spec"]
API, API_SERVICE = yaml.safe_load_all(TEXTS[DEPLOY / "helm/api.yaml"])
CODE_LOCATION = VALUES["dagster-user-deployments"]["deployments"][0]
CHART_PARTS = (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], CODE_LOCATION)

OUR_SERVICES = {name: one for name, one in COMPOSE["services"].items() if "neo_assets" in one["image"]}

PROGRAMS: dict[str, click.Command] = {
    "dagster": dagster_cli,
    "dagster-daemon": dagster_daemon,
    "dagster-webserver": dagster_webserver,
    "neo": neo,
}


def instruction(name: str) -> str:
    """The last instruction of that name in the Dockerfile, which is the one that counts."""
    *_, last = re.findall(rf"^{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)
    return str(last)


IMAGE_COMMAND = json.loads(instruction("CMD"))
IMAGE_HEALTH = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])


def commands() -> dict[str, list[str]]:
    """Every command of Dagster and of ours, in the image, in compose and in the chart's values."""
    found = {"image": IMAGE_COMMAND, "image health": IMAGE_HEALTH}
    for name, service in OUR_SERVICES.items():
        if "command" in service:
            found[name] = service["command"]
        found |= {f"{name} health": service["healthcheck"].get("test", [])[1:]} if "healthcheck" in service else {}
    for probe in ("livenessProbe", "startupProbe"):
        found[f"chart's daemon {probe}"] = VALUES["dagsterDaemon"][probe]["exec"]["command"]
    found["api"] = API["spec"]["template"]["spec"]["containers"][0]["command"]
    found["chart's code location"] = ["dagster", "api", "grpc", *CODE_LOCATION["dagsterApiGrpcArgs"]]
    return {name: words for name, words in found.items() if words and words[0] != "python"}


@pytest.mark.parametrize("words", commands().values(), ids=commands().keys())
def test_every_command_exists(words: list[str]) -> None:
    """Parsed by `click`: the command, its options and their values."""
    command = PROGRAMS[words[0]]
    rest = [word.replace("/opt/dagster/", f"{DEPLOY}/") for word in words[1:]]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found
        command = found
    command.parse_args(click.Context(command), rest)


def test_every_name_like_a_setting_is_one() -> None:
    for path, text in TEXTS.items():
        named = set(re.findall(r"\b(?:NEO|NASA|NEOWS)_[A-Z_]+\b", text))
        assert named <= ALLOWED.keys(), path


def test_no_variable_of_compose_itself_looks_like_a_setting() -> None:
    """The code location gets the whole of .env, and takes a name that begins like a setting for a misspelt one."""
    asked = set(re.findall(r"\$\{(\w+)", TEXTS[DEPLOY / "compose.yaml"]))
    assert {name for name in asked if name.startswith(("NEO", "NASA"))} <= ALLOWED.keys()
    of_compose = {"IMAGE", *(f"{one}_IMAGE" for one in ("POSTGRES", "PROMETHEUS", "S3", "SPARK"))}
    of_compose |= {"PORT", "API_PORT", "PROMETHEUS_PORT", "NEO_DAGSTER_URL"}
    assert asked - of_compose == {name for name in asked if re.search(rf"^#? ?{name}=", ENV_EXAMPLE, re.MULTILINE)}


def test_compose_has_no_password_of_its_own() -> None:
    secret = re.compile("PASSWORD|SECRET|ACCESS_KEY|API_KEY|TOKEN")
    given = {
        (name, variable): value
        for name, service in COMPOSE["services"].items()
        for variable, value in service.get("environment", {}).items()
        if secret.search(variable)
    }
    assert {name for name, _ in given} >= {"bucket", "code", "daemon", "postgres", "s3", "webserver"}
    for value in given.values():
        assert re.fullmatch(r"\$\{\w+:\?.+\}", value), "compose must refuse to start without it"
        assert re.search(rf"^{value[2:].split(':')[0]}=$", ENV_EXAMPLE, re.MULTILINE), "and nobody must get a default"


def test_only_the_code_location_sees_the_keys() -> None:
    for name in ("webserver", "daemon", "migrate", "api"):
        assert not any(variable.startswith("NASA") for variable in OUR_SERVICES[name]["environment"])
        assert "env_file" not in OUR_SERVICES[name]
    for name in ("webserver", "daemon", "migrate"):
        assert not any(variable.startswith("AWS") for variable in OUR_SERVICES[name]["environment"])
    for part in (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"]):
        assert not part.get("envSecrets")


def test_our_containers_are_not_root_and_cannot_write() -> None:
    user = instruction("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    for service in OUR_SERVICES.values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert "user" not in service
        assert "/opt/dagster" in service["tmpfs"]
    pods = [(part["podSecurityContext"], part["securityContext"]) for part in CHART_PARTS]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    pods.append((launcher["runK8sConfig"]["podSpecConfig"]["securityContext"], launcher["securityContext"]))
    for spec in (WORKER["template"]["spec"], API["spec"]["template"]["spec"]):
        pods.append((spec["securityContext"], spec["containers"][0]["securityContext"]))
    for pod, container in pods:
        assert pod["runAsNonRoot"]
        assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == user
        assert container["readOnlyRootFilesystem"]
        assert not container["allowPrivilegeEscalation"]
        assert container["capabilities"] == {"drop": ["ALL"]}


def test_what_is_published_is_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {
        "api": ["127.0.0.1:${API_PORT:-8080}:8080"],
        "prometheus": ["127.0.0.1:${PROMETHEUS_PORT:-9090}:9090"],
        "webserver": ["127.0.0.1:${PORT:-3000}:3000"],
    }
    assert not VALUES["ingress"]["enabled"]


def test_the_image_installs_by_hash_and_copies_what_is_let_through() -> None:
    installs = re.findall(r"pip install ([^&\n]*)", DOCKERFILE)
    assert installs
    for options in installs:
        assert {"--require-hashes", "--dry-run", "--no-deps"} & set(shlex.split(options)), options
    let_through = {
        line[1:].rstrip("/") for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    assert copied == let_through
    assert all((CHECKOUT / one).exists() for one in copied)


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_the_lock_of_the_extras_has_them_all_and_agrees_with_the_other() -> None:
    own, extras = pins(CHECKOUT / "requirements.lock"), pins(CHECKOUT / "requirements-extras.lock")
    for requirements in PROJECT["optional-dependencies"].values():
        assert {re.split(r"[\[<>=]", one)[0] for one in requirements} <= extras.keys()
    assert {name: extras[name] for name in own.keys() & extras.keys()} == {
        name: own[name] for name in own.keys() & extras.keys()
    }
    spark = COMPOSE["services"]["spark-connect"]["image"]
    assert spark.endswith(f":{next(iter(extras['pyspark-client']))}}}"), "server and client must be of one version"


def picked(tmp_path: Path, lock: str, *installed: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "lock").write_text(lock)
    (tmp_path / "report").write_text(json.dumps({"install": installed}))
    program = [sys.executable, str(DEPLOY / "pick.py"), str(tmp_path / "lock"), str(tmp_path / "report")]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_of_a_lock_file_what_pip_would_install_is_picked(tmp_path: Path) -> None:
    one = "one-part==1.0 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
    two = "two==2.0 ; python_version >= '3.12' \\\n    --hash=sha256:3\n"
    lock = f"# by make lock\n{one}    # via x\none-part-more==1.0 \\\n    --hash=sha256:4\n{two}    # via y\n"
    wheel: dict[str, Any] = {"download_info": {"archive_info": {}}}
    project = {"metadata": {"name": "neo_assets", "version": "1"}, "download_info": {"dir_info": {}}}
    some = [wheel | {"metadata": {"name": "One_Part", "version": "1.0"}}, project]
    assert picked(tmp_path, lock, *some).stdout == one
    both = [*some, wheel | {"metadata": {"name": "two", "version": "2.0"}}]
    assert picked(tmp_path, lock, *both).stdout == one + two
    other = picked(tmp_path, lock, wheel | {"metadata": {"name": "two", "version": "2.1"}})
    assert (other.returncode, other.stdout) == (1, "")
    assert "two 2.1 is not in the lock file: run `make lock`" in other.stderr


def test_dagsters_instance_is_valid_and_gets_its_variables() -> None:
    config, _ = dagster_instance_config(str(DEPLOY))  # raises if a key or value is none of Dagster's
    ref = InstanceRef.from_dir(str(DEPLOY))
    assert ref.run_launcher_data
    assert (ref.run_launcher_data.class_name, ref.compute_logs_data.class_name) == (
        *("DefaultRunLauncher", "NoOpComputeLogManager"),
    )
    asked = {
        one["env"] for one in config["storage"]["custom"]["config"]["postgres_db"].values() if isinstance(one, dict)
    }
    assert asked
    for name in ("webserver", "daemon", "code", "migrate"):
        assert asked <= OUR_SERVICES[name]["environment"].keys()


def test_the_instances_agree_on_runs_and_logs() -> None:
    root = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
    same = ("run_monitoring", "run_retries", "concurrency", "telemetry", "nux")
    assert {key: INSTANCE[key] for key in same} == {key: root[key] for key in same}
    chart = VALUES["additionalInstanceConfig"] | {
        "concurrency": {"runs": {"max_concurrent_runs": limit_of(VALUES)}},
        "telemetry": VALUES["telemetry"],
    }
    assert chart == {key: root[key] for key in same if key != "run_monitoring"}
    assert VALUES["pythonLogs"] == {
        "managedPythonLoggers": INSTANCE["python_logs"]["managed_python_loggers"],
        "dagsterHandlerConfig": INSTANCE["python_logs"]["dagster_handler_config"],
    }
    assert VALUES["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"


def limit_of(values: dict[str, Any]) -> int:
    limit = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]["maxConcurrentRuns"]
    assert isinstance(limit, int)
    return limit


def test_the_worker_of_celery_has_what_the_code_location_has() -> None:
    [container] = WORKER["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert given == CODE_LOCATION["env"] | {"DAGSTER_HOME": VALUES["global"]["dagsterHome"]}
    assert container["envFrom"] == [
        {"secretRef": one} for one in (*CODE_LOCATION["envSecrets"], *CELERY_VALUES["dagsterDaemon"]["envSecrets"])
    ]
    assert [one for one in container["volumeMounts"] if one["name"] != "dagster-instance"] == CODE_LOCATION[
        "volumeMounts"
    ]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["podSpecConfig"]
    assert WORKER["template"]["spec"]["affinity"] == launcher["affinity"]
    [processes] = re.findall(r"--concurrency=(\d+)", " ".join(container["command"]))
    assert limit_of(CELERY_VALUES) == WORKER["replicas"] * int(processes)


def test_the_api_has_the_lake_of_the_code_location_and_no_secret() -> None:
    spec = API["spec"]["template"]["spec"]
    [container] = spec["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    assert given.items() <= CODE_LOCATION["env"].items()
    assert {"NEO_LAKE", "NEO_LOG", "NEO_PAGES"} <= given.keys()
    assert "envFrom" not in container
    assert API_SERVICE["spec"]["selector"] == API["spec"]["selector"]["matchLabels"]
    annotations = API["spec"]["template"]["metadata"]["annotations"]
    assert {str(container["ports"][0]["containerPort"]), container["command"][-1]} == {
        annotations["prometheus.io/port"]
    }


def test_what_ordering_reports_needs_is_there_to_be_uncommented() -> None:
    """The API gets the token and the database of requests, in compose from the file that the code location reads."""
    writing = {"NEO_API_TOKEN", "NEO_POSTGRES_URL"}
    compose = yaml.safe_load(re.sub(r"# (NEO_\w+: )", r"\1", TEXTS[DEPLOY / "compose.yaml"]))
    given = compose["services"]["api"]["environment"]
    assert given.keys() - COMPOSE["services"]["api"]["environment"].keys() == writing
    for name in writing:
        assert given[name] == f"${{{name}:?set it in deploy/.env}}"
        assert re.search(rf"^# {name}=", ENV_EXAMPLE, re.MULTILINE)
    uncommented = re.sub(r"# (- name: NEO_|  valueFrom:)", r"\1", TEXTS[DEPLOY / "helm/api.yaml"])
    deployment, _ = yaml.safe_load_all(uncommented)
    secrets = {
        one["name"]: one["valueFrom"]["secretKeyRef"]
        for one in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        if "valueFrom" in one
    }
    assert {name: secret["key"] for name, secret in secrets.items()} == {name: name for name in writing}
    assert {"name": secrets["NEO_POSTGRES_URL"]["name"]} in CODE_LOCATION["envSecrets"]


def test_images_and_charts_have_the_versions_of_the_project() -> None:
    assert {part["image"]["tag"] for part in CHART_PARTS} == {PROJECT["version"]}
    for spec in (WORKER, API["spec"]):
        assert spec["template"]["spec"]["containers"][0]["image"].endswith(f"neo_assets:{PROJECT['version']}")
    texts = [*TEXTS.values(), (CHECKOUT / "docs/deployment.md").read_text()]
    charts = {one for text in texts for one in re.findall(r"dagster/dagster --version (\S+)", text)}
    assert charts == {dagster_version}


def test_names_and_ports_lead_from_one_file_to_the_next() -> None:
    [server] = [one["grpc_server"] for one in yaml.safe_load(TEXTS[DEPLOY / "workspace.yaml"])["load_from"]]
    [root] = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text())["load_from"]
    assert server["location_name"] == root["python_module"]["location_name"]
    assert IMAGE_COMMAND[IMAGE_COMMAND.index("--location-name") + 1] == server["location_name"]
    assert {IMAGE_COMMAND[IMAGE_COMMAND.index("--port") + 1], IMAGE_HEALTH[-1], instruction("EXPOSE")} == {
        str(server["port"])
    }
    assert server["host"] in OUR_SERVICES
    for name, service in COMPOSE["services"].items():
        assert set(service.get("depends_on", [])) <= COMPOSE["services"].keys(), name
        volumes = [one.split(":")[0] for one in service.get("volumes", [])]
        assert all((DEPLOY / one).is_file() if one[0] == "." else one in COMPOSE["volumes"] for one in volumes), name


def test_the_role_may_do_what_the_lake_needs_and_no_more() -> None:
    def actions(text: str) -> list[str]:
        return sorted(re.findall(r'"(s3:[A-Za-z]+)"', text))

    terraform = TEXTS[DEPLOY / "terraform/main.tf"]
    [role] = re.findall(r'"aws_iam_policy_document" "lake" \{(.*?)^\}', terraform, re.MULTILINE | re.DOTALL)
    [policy] = re.findall(r"```json\n(.*?)```", (CHECKOUT / "docs/s3.md").read_text(), re.DOTALL)
    assert actions(role) == actions(policy) != []
    declared = set(re.findall(r'^variable "(\w+)"', TEXTS[DEPLOY / "terraform/variables.tf"], re.MULTILINE))
    used = {name for text in TEXTS.values() for name in re.findall(r"\bvar\.(\w+)", text)}
    assert used == declared


def test_compose_makes_the_bucket_once(s3_server: S3Server) -> None:
    environment = {**os.environ, **s3_server.settings(), "NEO_LAKE": "s3://made-by-compose/lake"}
    command = [sys.executable, *COMPOSE["services"]["bucket"]["command"][1:]]
    for _ in range(2):
        subprocess.run(command, env=environment, check=True)
    assert "made-by-compose" in [one["Name"] for one in s3_server.client.list_buckets()["Buckets"]]
    refused = subprocess.run(
        command, env=environment | {"AWS_SECRET_ACCESS_KEY": "no"}, check=False, capture_output=True
    )
    assert refused.returncode


@pytest.mark.slow
def test_the_image_starts_a_server_whose_health_can_be_asked(tmp_path: Path) -> None:
    """Then compose's webserver finds the assets there, and its health can be asked too."""
    port, ui = str(free_port()), str(free_port())
    programs = Path(sys.executable).parent
    home = {**os.environ, "DAGSTER_HOME": str(tmp_path), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(TEXTS[DEPLOY / "workspace.yaml"].replace("code", "127.0.0.1").replace("4000", port))
    web = COMPOSE["services"]["webserver"]
    at = {"4000": port, "0.0.0.0": "127.0.0.1", "3000": ui, "/opt/dagster/workspace.yaml": str(workspace)}

    def run(words: list[str]) -> list[str]:
        return [at.get(word, word.replace(":3000/", f":{ui}/")) for word in words]

    def healthy(words: list[str]) -> bool:
        return subprocess.run(run(words), env=home, cwd=tmp_path, check=False, capture_output=True).returncode == 0

    def becomes(words: list[str]) -> bool:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if healthy(words):
                return True
            time.sleep(0.2)
        return False

    assert not healthy(IMAGE_HEALTH)
    with contextlib.ExitStack() as started, (tmp_path / "out").open("w") as out:
        for command, health in ((IMAGE_COMMAND, IMAGE_HEALTH), (web["command"], web["healthcheck"]["test"][1:])):
            process = subprocess.Popen(run(command), env=home, cwd=tmp_path, stdout=out, stderr=subprocess.DEVNULL)
            started.callback(process.wait, PATIENCE_S)
            started.callback(process.terminate)
            assert becomes(health)
        query = {"query": "{ assetNodes { assetKey { path } } }"}
        answer = httpx.post(f"http://127.0.0.1:{ui}/graphql", json=query, timeout=PATIENCE_S).json()
    assert ["raw_pages"] in [one["assetKey"]["path"] for one in answer["data"]["assetNodes"]]
    events = [json.loads(line)["event"] for line in (tmp_path / "out").read_text().splitlines()]
    assert any(event.startswith("Started Dagster code server") for event in events)
    assert any(event.startswith("Serving dagster-webserver") for event in events)
