"""What the Terraform code makes of its options: load balancer, restricted sharing, quota, many datasets, new queues."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.terraform import needs_check, plan_with, resources, values

HOST = 'load_balancer={host="cave.example.org"}'


def said(text: str) -> str:
    """Terraform's words without its frames and line ends."""
    return re.sub(r"[\s│╷╵]+", " ", text)


@needs_check
def test_a_load_balancer_leads_the_paths_of_the_cache_to_the_look_up_and_nothing_past_it(dist: Path) -> None:
    done = plan_with(dist, "auth_url=host/auth", HOST)
    assert done.returncode == 0, said(done.stdout + done.stderr)[-2000:]
    (routes,) = resources(done.stdout, "google_compute_url_map").values()
    assert '"/l2cache/*"' in routes
    assert '"cave.example.org"' in routes
    (group,) = resources(done.stdout, "google_compute_region_network_endpoint_group").values()
    assert values(group, "network_endpoint_type") == ["SERVERLESS"]
    assert values(group, "service") == ["l2cache-lookup"]
    (certificate,) = resources(done.stdout, "google_compute_managed_ssl_certificate").values()
    assert '"cave.example.org"' in certificate
    lookup = resources(done.stdout, "google_cloudfunctions2_function")['google_cloudfunctions2_function.this["lookup"]']
    assert values(lookup, "ingress_settings") == ["ALLOW_INTERNAL_AND_GCLB"]
    assert not resources(done.stdout, "google_compute_security_policy")
    assert '"compute.googleapis.com"' in done.stdout


@needs_check
def test_a_load_balancer_may_bound_requests_and_share_its_host(dist: Path) -> None:
    others = "projects/p/global/backendServices/cave"
    balancer = f'load_balancer={{host="h.example.org", requests_per_minute=600, other_paths="{others}"}}'
    plan = plan_with(dist, "auth_url=host/auth", balancer).stdout
    (policy,) = resources(plan, "google_compute_security_policy").values()
    assert "deny(429)" in policy
    assert "600" in values(policy, "count")
    (routes,) = resources(plan, "google_compute_url_map").values()
    assert others in values(routes, "default_service")


@needs_check
def test_without_a_load_balancer_nothing_of_it_is_made(dist: Path) -> None:
    plan = plan_with(dist, "auth_url=host/auth").stdout
    assert not resources(plan, r"google_compute_\w+")
    assert "compute.googleapis.com" not in plan


@needs_check
def test_where_sharing_is_restricted_the_look_up_is_opened_to_nobody(dist: Path) -> None:
    done = plan_with(dist, "auth_url=host/auth", "lookup_invokers=[]", HOST)
    assert done.returncode == 0, said(done.stdout + done.stderr)[-2000:]
    assert "allUsers" not in done.stdout
    assert 'AUTH_URL"' in done.stdout
    assert "l2cache-lookup --region=us-east1 --project=a-project --no-invoker-iam-check" in done.stdout


@needs_check
@pytest.mark.parametrize("ingress", ["ALLOW_ALL", "ALLOW_INTERNAL_ONLY"])
def test_an_own_ingress_needs_nothing_but_the_functions_address(dist: Path, ingress: str) -> None:
    done = plan_with(dist, "auth_url=host/auth", f"lookup_ingress={ingress}")
    assert done.returncode == 0, said(done.stdout + done.stderr)[-2000:]
    lookup = resources(done.stdout, "google_cloudfunctions2_function")['google_cloudfunctions2_function.this["lookup"]']
    assert values(lookup, "ingress_settings") == [ingress]
    assert not resources(done.stdout, r"google_compute_\w+")
    assert re.search(r'lookup_server += "https://l2cache-lookup-\d+\.us-east1\.run\.app"', done.stdout)
    assert "no-invoker-iam-check" not in done.stdout


@needs_check
def test_the_defaults_fit_into_a_new_projects_quota_and_more_is_warned_of(dist: Path) -> None:
    fits = plan_with(dist, "auth_url=host/auth", "edits_topic=edits")
    assert fits.returncode == 0
    assert "quota of Cloud Run" not in said(fits.stdout + fits.stderr)
    more = plan_with(dist, "auth_url=host/auth", "compute={max_instances=50}")
    assert more.returncode == 0
    assert "GiB, more than the quota of Cloud Run" in said(more.stdout + more.stderr)
    asked = plan_with(dist, "auth_url=host/auth", "compute={max_instances=50}", "quota={vcpus=100, memory_gib=250}")
    assert "quota of Cloud Run" not in said(asked.stdout + asked.stderr)


@needs_check
def test_an_ingest_may_not_take_all_instances(dist: Path) -> None:
    refused = plan_with(dist, "auth_url=host/auth", "queues={concurrent=6}")
    assert refused.returncode != 0
    assert "must be below compute.max_instances * compute.concurrency" in said(refused.stdout + refused.stderr)


@needs_check
def test_what_finds_all_instances_busy_is_not_given_up_soon(dist: Path) -> None:
    usual = plan_with(dist, "auth_url=host/auth", "edits_topic=edits")
    for subscription in resources(usual.stdout, "google_pubsub_subscription").values():
        assert values(subscription, "max_delivery_attempts") in (["100"], []), "the dead letters' own has none"
    assert "without anybody having looked at them" not in said(usual.stdout + usual.stderr)
    for few in ("push={attempts=30}", "queues={attempts=20}"):
        warned = plan_with(dist, "auth_url=host/auth", few)
        assert warned.returncode == 0
        assert re.search(r"(become dead letters after 4 h|are lost after 2\.1 h)", said(warned.stdout + warned.stderr))


@needs_check
@pytest.mark.parametrize("number", [11, 100])
def test_any_number_of_datasets_keeps_within_the_limits_of_conditions(dist: Path, tmp_path: Path, number: int) -> None:
    tables = [f"l2cache_{n:03d}" for n in range(number)]
    (tmp_path / "d.yaml").write_text("".join(f"g{n}: {{cv_path: a, l2cache_id: {t}}}\n" for n, t in enumerate(tables)))
    plan = plan_with(dist, "auth_url=host/auth", f"datasets_file={tmp_path / 'd.yaml'}").stdout
    grants = resources(plan, "google_bigtable_instance_iam_member")
    ours = {name: text for name, text in grants.items() if ".cache_tables[" in name}
    named = dict.fromkeys(tables, 0)
    for text in ours.values():
        (expression,) = re.findall(r'expression\s+= "(.*)"\n', text)
        assert expression.count("&&") + expression.count("||") <= 12
        for table in re.findall(r'tables/(\w+)\\"', expression):
            named[table] += 1
    assert set(named.values()) == {3}, "lookup, compute and ingest, each once"
    assert len(ours) / 3 <= 20


@needs_check
def test_queues_can_have_other_names(dist: Path) -> None:
    plan = plan_with(dist, "auth_url=host/auth", 'queues={suffix="-b"}').stdout
    names = [values(text, "name")[0] for text in resources(plan, "google_cloud_tasks_queue").values()]
    assert names == ["l2cache-ingest-1-b"]


@needs_check
def test_agents_are_made_and_grants_are_waited_for(dist: Path) -> None:
    plan = plan_with(dist, "auth_url=host/auth").stdout
    agents = resources(plan, "google_project_service_identity")
    assert {values(text, "service")[0] for text in agents.values()} == {
        "cloudtasks.googleapis.com",
        "pubsub.googleapis.com",
    }
    assert len(resources(plan, "time_sleep")) == 1


@needs_check
def test_operators_may_look_the_ingest_function_up_and_nothing_else(dist: Path) -> None:
    plan = plan_with(dist, "auth_url=host/auth", 'operators=["user:o@example.org"]').stdout
    (grant,) = resources(plan, "google_cloudfunctions2_function_iam_member").values()
    assert values(grant, "role") == ["roles/cloudfunctions.viewer"]
    assert values(grant, "cloud_function") == ["l2cache-ingest"]


@needs_check
def test_queries_name_the_resource_where_a_metric_has_several(dist: Path) -> None:
    plan = plan_with(dist, "auth_url=host/auth", "edits_topic=edits").stdout
    shown = "\n".join(
        text
        for kind in ("google_monitoring_dashboard", "google_monitoring_alert_policy")
        for text in resources(plan, kind).values()
    )
    selectors = re.findall(r"(?:logging|run)_googleapis_com:\w+\{([^}]*)\}", shown)
    assert len(selectors) > 15
    assert all("monitored_resource=" in selector for selector in selectors)
    assert not re.findall(r"(?:logging|run)_googleapis_com:\w+\[", shown), "a selector without any label"
    assert "{{" not in shown
    assert "${subscription_id}" in shown
    assert "disable_metric_validation = true" not in shown
