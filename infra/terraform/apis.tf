# The services that the system stands on. They stay on when it is taken down: others in the project may need them.
resource "google_project_service" "this" {
  for_each = toset(concat(var.load_balancer == null ? [] : ["compute.googleapis.com"], [
    "artifactregistry.googleapis.com",
    "bigtable.googleapis.com",
    "bigtableadmin.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudtasks.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ]))

  service            = each.value
  disable_on_destroy = false
}

# Agents of Google's services act for us: Pub/Sub signs the tokens of its pushes, Cloud Tasks those of its tasks. In a new
# project they are not there before they are asked for, and what is granted to them is refused.
resource "google_project_service_identity" "agents" {
  provider = google-beta
  for_each = toset(["cloudtasks.googleapis.com", "pubsub.googleapis.com"])

  service    = each.value
  depends_on = [google_project_service.this]
}

# A grant holds a minute or two after it was made. What needs one (a build reads its sources, a function mounts its secret
# when it starts, a push is signed) waits for that once, and again when there are new identities.
resource "time_sleep" "grants_hold" {
  create_duration = "120s"

  triggers = {
    identities = join(",", sort(values(local.members)))
  }
  depends_on = [
    google_project_iam_member.build,
    google_project_iam_member.build_reads_sources,
    google_secret_manager_secret_iam_member.datasets,
    google_secret_manager_secret_iam_member.graph_token,
    google_service_account_iam_member.pubsub_signs_pushes,
    google_service_account_iam_member.enqueuers_name_senders,
  ]
}
