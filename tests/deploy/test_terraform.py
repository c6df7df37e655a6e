"""The Terraform code: right by Terraform's own check, and what its plans grant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.ingest.control.rates import ALERTS
from tests.integration.test_idle_connections import FEWEST_THREADS
from tests.support.terraform import CODE, EXAMPLES, needs_check, plan_with, resources, run_check, values


@pytest.fixture(scope="session")
def plans(dist: Path) -> dict[str, str]:
    """What Terraform plans for each example."""
    done = {example: run_check(dist, "--var-file", str(CODE / "examples" / example)) for example in EXAMPLES}
    for example, process in done.items():
        assert process.returncode == 0, f"{example}:\n{process.stdout[-3000:]}{process.stderr[-3000:]}"
    return {example: process.stdout for example, process in done.items()}


GRANTS = (
    "google_bigtable_instance_iam_member",
    "google_storage_bucket_iam_member",
    "google_pubsub_topic_iam_member",
    "google_secret_manager_secret_iam_member",
    "google_cloud_tasks_queue_iam_member",
)


def services_in(plan: str, kind: str) -> set[str]:
    """The functions that the names of a kind's resources speak of."""
    keys = [name.partition('["')[2].rstrip('"]') for name in resources(plan, kind)]
    return {part for key in keys for part in re.split(r"[ :]", key)}


def follows_edits(plan: str) -> bool:
    return 'google_pubsub_subscription.push["edits"]' in plan


@needs_check
def test_both_examples_are_planned_without_an_error(plans: dict[str, str]) -> None:
    assert set(plans) == {"petascale.tfvars", "small-lab.tfvars"}


@needs_check
def test_everybody_may_call_the_look_up_and_nothing_else(plans: dict[str, str]) -> None:
    for plan in plans.values():
        everybody = [name for name, text in _invokers(plan).items() if "allUsers" in text or "allAuthenticated" in text]
        assert everybody == ['google_cloud_run_service_iam_member.invokers["lookup allUsers"]']
        assert "allUsers" not in "".join(
            text for name, text in resources(plan, r"google_\w+_iam_member").items() if name not in everybody
        )


@needs_check
def test_each_sender_may_call_exactly_one_function(plans: dict[str, str]) -> None:
    for plan in plans.values():
        senders = [name.partition('["')[2].rstrip('"]') for name in _invokers(plan)]
        assert [name for name in senders if name.startswith("compute")] == ["compute push", "compute tasks"]
        assert [name for name in senders if name.startswith("edits")] == (["edits push"] if follows_edits(plan) else [])
        assert [name for name in senders if name in ("ingest tasks", "ingest push")] == ["ingest tasks"]


@needs_check
def test_who_writes_exports_is_told_where_and_may_write_there(plans: dict[str, str]) -> None:
    grants = [
        name for name in resources(plans["petascale.tfvars"], "google_storage_bucket_iam_member") if ".exports[" in name
    ]
    assert sorted(name.partition('["')[2].rstrip('"]') for name in grants) == [
        "compute my-lab-exports",
        "ingest my-lab-exports",
    ]
    assert plans["petascale.tfvars"].count('"gs://my-lab-exports/l2cache"') == 2
    assert "L2CACHE_EXPORTS" not in plans["small-lab.tfvars"]


@needs_check
def test_roles_are_the_small_ones(plans: dict[str, str]) -> None:
    allowed = {
        "roles/artifactregistry.writer",
        "roles/bigtable.reader",
        "roles/bigtable.user",
        "roles/cloudfunctions.viewer",
        "roles/cloudtasks.enqueuer",
        "roles/iam.serviceAccountTokenCreator",
        "roles/iam.serviceAccountUser",
        "roles/logging.logWriter",
        "roles/pubsub.publisher",
        "roles/pubsub.subscriber",
        "roles/run.invoker",
        "roles/storage.objectUser",
        "roles/secretmanager.secretAccessor",
        "roles/storage.objectViewer",
    }
    for plan in plans.values():
        granted = {role for text in resources(plan, r"google_\w+_iam_member").values() for role in values(text, "role")}
        assert {role for role in granted if role.startswith("roles/")} <= allowed
        on_project = resources(plan, "google_project_iam_member")
        assert len(on_project) == 3, "only the build has roles on the project"
        assert all(".build" in name for name in on_project)


@needs_check
def test_the_look_up_cannot_write_rows(plans: dict[str, str]) -> None:
    for plan in plans.values():
        tables = resources(plan, "google_bigtable_instance_iam_member")
        roles = {
            role for name, text in tables.items() if 'cache_tables["lookup ' in name for role in values(text, "role")
        }
        assert roles == {"roles/bigtable.reader"}
        assert all("resource.name ==" in text for name, text in tables.items() if "cache_tables" in name)


@needs_check
def test_the_table_of_states_is_as_the_store_would_make_it_and_every_function_writes_it(plans: dict[str, str]) -> None:
    from shared.store.states import (
        QUOTA_FAMILY,
        QUOTA_HOURS,
        STATE_DAYS,
        STATE_FAMILIES,
        STATE_FAMILY,
        STATES_TABLE,
        TOTALS_FAMILY,
    )

    hours = {STATE_FAMILY: 24 * STATE_DAYS, QUOTA_FAMILY: QUOTA_HOURS, TOTALS_FAMILY: 24 * STATE_DAYS}
    for example, plan in plans.items():
        (table,) = resources(plan, "google_bigtable_table").values()
        assert values(table, "name") == [STATES_TABLE]
        assert set(values(table, "family")) == set(STATE_FAMILIES)
        policies = {
            values(text, "column_family")[0]: text for text in resources(plan, "google_bigtable_gc_policy").values()
        }
        assert set(policies) == set(STATE_FAMILIES)
        for family, kept_hours in hours.items():
            assert values(policies[family], "mode") == ["UNION"]
            assert values(policies[family], "duration") == [f"{kept_hours}h"]
            assert values(policies[family], "number") == ["1"]
        members = resources(plan, "google_bigtable_table_iam_member")
        roles = {
            name.partition('["')[2].rstrip('"]'): values(text, "role")
            for name, text in members.items()
            if ".states[" in name
        }
        edits = {"edits"} if example.startswith("petascale") else set()
        assert roles == {name: ["roles/bigtable.user"] for name in {"lookup", "compute", "ingest"} | edits}


@needs_check
def test_every_push_is_signed_backs_off_and_ends_in_the_dead_letters(plans: dict[str, str]) -> None:
    for example, plan in plans.items():
        pushes = {
            name: text for name, text in resources(plan, "google_pubsub_subscription").items() if ".push[" in name
        }
        assert len(pushes) == (5 if example.startswith("petascale") else 3)
        for text in pushes.values():
            assert "oidc_token" in text
            assert values(text, "audience") == values(text, "push_endpoint")
            assert values(text, "maximum_backoff") == ["600s"]
            assert "dead_letter_policy" in text


@needs_check
def test_edits_slow_edits_and_misses_of_one_topic_are_told_apart_and_go_their_ways(plans: dict[str, str]) -> None:
    subscriptions = resources(plans["petascale.tfvars"], "google_pubsub_subscription")
    pushes = {name.partition('["')[2].rstrip('"]'): text for name, text in subscriptions.items() if ".push[" in name}
    edit, slow = "NOT attributes:l2_cache_id", r"attributes.remesh_priority = \"false\""
    ours = r" AND (hasPrefix(attributes.table_id, \"minnie\"))"
    assert {name: re.findall(r'\bfilter\s+= "(.*)"\n', text) for name, text in pushes.items()} == {
        "edits": [f"{edit} AND NOT {slow}{ours}"],
        "edits-slow": [f"{edit} AND {slow}{ours}"],
        "misses": ["attributes:l2_cache_id"],
        "waited": [],
        "replay": [],
    }
    services = {
        name: re.findall(r"https://l2cache-(\w+)-", values(text, "audience")[0]) for name, text in pushes.items()
    }
    of_compute = {name: ["compute"] for name in ("edits-slow", "misses", "replay")}
    assert services == {"edits": ["edits"], "waited": ["edits"], **of_compute}


@needs_check
def test_what_is_waited_for_has_a_topic_that_the_look_up_publishes_to(plans: dict[str, str]) -> None:
    for plan in plans.values():
        (lookup,) = [
            text for name, text in resources(plan, "google_cloudfunctions2_function").items() if "lookup" in name
        ]
        (address,) = re.findall(r'"L2CACHE_WAITED_BUS"\s+= "pubsub://[^/]+/([^"]+)"', lookup)
        assert [f"{address}"] in [values(text, "name") for text in resources(plan, "google_pubsub_topic").values()]
        assert "google_pubsub_topic_iam_member.lookup_publishes_waited" in plan
        service = "edits" if follows_edits(plan) else "compute"
        (push,) = [
            text for name, text in resources(plan, "google_pubsub_subscription").items() if '.push["waited"]' in name
        ]
        assert f"-{service}-" in values(push, "audience")[0]


@needs_check
def test_the_longest_filter_that_is_allowed_fits_what_pubsub_takes(dist: Path) -> None:
    done = plan_with(dist, "edits_topic=edits", f"edits_filter={'x' * 170}")
    assert done.returncode == 0, done.stdout + done.stderr
    filters = re.findall(r'\bfilter\s+= "(NOT .*)"\n', done.stdout)
    assert len(filters) == 2
    assert all(len(text.replace(r"\"", '"')) <= 256 for text in filters)
    refused = plan_with(dist, "edits_topic=edits", f"edits_filter={'x' * 171}")
    assert "at most 170" in re.sub(r"[\s│]+", " ", refused.stdout + refused.stderr)


@needs_check
def test_where_edits_are_followed_they_have_a_service_that_may_do_what_compute_may_but_enqueue(
    plans: dict[str, str],
) -> None:
    for plan in plans.values():
        functions = resources(plan, "google_cloudfunctions2_function")
        granted = {kind: services_in(plan, kind) for kind in GRANTS}
        if not follows_edits(plan):
            assert len(functions) == 3
            assert "edits" not in {service for services in granted.values() for service in services}
            continue
        edits, compute = (functions[f'google_cloudfunctions2_function.this["{name}"]'] for name in ("edits", "compute"))
        for same in ("entry_point", "available_memory", "ingress_settings", "max_instance_request_concurrency"):
            assert values(edits, same) == values(compute, same)
        assert values(edits, "entry_point") == ["compute"]
        assert (values(edits, "min_instance_count"), values(edits, "max_instance_count")) == (["1"], ["50"])
        assert {kind for kind, services in granted.items() if "edits" in services} == {
            kind for kind in GRANTS if kind != "google_cloud_tasks_queue_iam_member"
        }


@needs_check
def test_the_look_up_and_both_services_that_compute_read_the_graphs_tables(dist: Path, tmp_path: Path) -> None:
    address = "bigtable://graphs/pychunkedgraph/minnie"
    minnie = f"minnie: {{cv_path: a, l2cache_id: b, graph_table: '{address}'}}\n"
    (tmp_path / "datasets.yaml").write_text("a_public: {table_id: minnie}\n" + minnie)
    plan = plan_with(dist, "edits_topic=edits", f"datasets_file={tmp_path / 'datasets.yaml'}").stdout
    members = [name for name in resources(plan, "google_bigtable_table_iam_member") if ".graph_tables[" in name]
    assert [name.partition('["')[2].rstrip('"]') for name in members] == [
        address,
        f"edits {address}",
        f"lookup {address}",
    ]
    assert "/status?dataset=minnie'" in plan, "an alias cannot be ingested"


@needs_check
def test_a_plan_of_an_ingest_knows_how_many_alerts_there_are(plans: dict[str, str]) -> None:
    for plan in plans.values():
        alerts = "\n".join(resources(plan, "google_monitoring_alert_policy").values())
        assert alerts.count("+ conditions {") == ALERTS


@needs_check
def test_edits_wake_somebody_sooner_than_misses(plans: dict[str, str]) -> None:
    alerts = "\n".join(resources(plans["petascale.tfvars"], "google_monitoring_alert_policy").values())
    limits = re.findall(r'unacked_message_age\{subscription_id=~\\"l2cache-\(([^)]+)\)\\"\}\) > (\d+)"', alerts)
    assert sorted(limits) == [("edits-slow|misses|replay", "1800"), ("edits|waited", "300")]


@needs_check
def test_compute_is_reached_from_inside_only_and_takes_few_requests_at_a_time(plans: dict[str, str]) -> None:
    for plan in plans.values():
        functions = resources(plan, "google_cloudfunctions2_function")
        compute = functions['google_cloudfunctions2_function.this["compute"]']
        assert values(compute, "ingress_settings") == ["ALLOW_INTERNAL_ONLY"]
        assert values(compute, "max_instance_request_concurrency") == ["1"]
        lookup = functions['google_cloudfunctions2_function.this["lookup"]']
        assert values(lookup, "max_instance_request_concurrency") == ["100"]
        threads = {name: int(re.findall(r'"THREADS"\s+= "(\d+)"', text)[0]) for name, text in functions.items()}
        assert min(threads.values()) == FEWEST_THREADS
        assert threads['google_cloudfunctions2_function.this["lookup"]'] == 100


@needs_check
@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        (['lookup_invokers=["allUsers"]'], "allUsers must not be among lookup_invokers"),
        (['operators=["allUsers"]'], "never everybody"),
        (["auth_url=https://host/auth"], "without https"),
        (["compute_ingress=EVERYWHERE"], "compute_ingress must be"),
        (["name=UPPER"], "lower-case letters"),
        (["queues={per_second = 501}"], "at most 500"),
    ],
)
def test_what_is_unsafe_or_impossible_is_refused(dist: Path, variables: list[str], complaint: str) -> None:
    done = plan_with(dist, *variables)
    assert done.returncode != 0
    assert complaint in re.sub(r"[\s│]+", " ", done.stdout + done.stderr)


@needs_check
def test_without_authentication_nobody_may_look_up_unless_named(dist: Path) -> None:
    plan = plan_with(dist, 'lookup_invokers=["group:lab@example.org"]').stdout
    lookups = [name for name in _invokers(plan) if '["lookup ' in name]
    assert lookups == ['google_cloud_run_service_iam_member.invokers["lookup group:lab@example.org"]']
    assert "AUTH_DISABLED" in plan


@needs_check
def test_a_plan_warns_where_no_edits_are_followed_and_goes_on(dist: Path) -> None:
    warning = "edits_topic is empty: no edits are followed"
    silent, followed = (
        re.sub(r"[\s│╷╵]+", " ", plan_with(dist, *topic).stdout) for topic in ([], ["edits_topic=edits"])
    )
    assert warning in silent
    assert "Plan:" in silent
    assert warning not in followed
    assert "Plan:" in followed


def test_every_variable_and_output_says_what_it_is() -> None:
    for file in ("variables.tf", "outputs.tf"):
        blocks = re.findall(r'^(?:variable|output) "(\w+)" \{\n(.*?)^\}', (CODE / file).read_text(), re.M | re.S)
        assert blocks
        assert not [name for name, text in blocks if not re.search(r"^  description = \S", text, re.M)]


def test_the_compute_functions_memory_holds_a_chunk_those_read_ahead_and_what_plans_reckon_with() -> None:
    from shared.features.memory import chunk_memory_bytes
    from shared.ingest.control.rates import LEAF_MEMORY_GIB
    from shared.ingest.leaf.pipeline import READERS

    text = (CODE / "variables.tf").read_text()
    compute = re.search(r'variable "compute" \{.*?^\}', text, re.M | re.S)
    assert compute
    gib = int(re.findall(r'memory\s+= optional\(string, "(\d+)Gi"\)', compute[0])[0])
    shape = (256, 256, 512)
    read_ahead = READERS * 2 * 8 * shape[0] * shape[1] * shape[2]  # each as downloaded and as uint64
    libraries = 2**29
    assert chunk_memory_bytes(shape, label_bytes=8) + read_ahead + libraries < gib * 2**30
    assert gib == LEAF_MEMORY_GIB


def _invokers(plan: str) -> dict[str, str]:
    return resources(plan, "google_cloud_run_service_iam_member")
