# One identity per function, one per sender, one for builds. What each may do stands beside the resource in question
# (bigtable.tf, messages.tf, queues.tf, secrets.tf, functions.tf); nothing is granted on the whole project but what the
# build needs and what cannot be granted on less.

locals {
  labels = merge(var.labels, { app = var.name })

  identities = merge(
    {
      lookup        = "Look-up function: reads cache tables, publishes misses"
      compute       = "Compute function: reads and writes cache tables"
      ingest        = "Ingest function: makes cache tables, writes progress, enqueues tasks"
      push          = "Pushes messages to the compute function, and can call nothing else"
      tasks-compute = "Sends chunk tasks to the compute function, and can call nothing else"
      tasks-ingest  = "Sends expand tasks to the ingest function, and can call nothing else"
      build         = "Builds the functions' images"
    },
    local.follows_edits ? {
      edits      = "Compute function's service for edits: reads and writes cache tables"
      push-edits = "Pushes edits to that service, and can call nothing else"
    } : {},
  )

  members = { for key, account in google_service_account.this : key => "serviceAccount:${account.email}" }

  # Agents of Google's services act for us. Where they are is Google's rule.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_service_account" "this" {
  for_each = local.identities

  account_id   = "${var.name}-${each.key}"
  display_name = each.value
  depends_on   = [google_project_service.this]
}

# Pub/Sub signs the tokens of its pushes as these.
resource "google_service_account_iam_member" "pubsub_signs_pushes" {
  for_each = toset(local.follows_edits ? ["push", "push-edits"] : ["push"])

  service_account_id = google_service_account.this[each.key].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}

moved {
  from = google_service_account_iam_member.pubsub_signs_pushes
  to   = google_service_account_iam_member.pubsub_signs_pushes["push"]
}

# Whoever creates a task with an identity must be allowed to act as it: ingest and compute make tasks for both.
resource "google_service_account_iam_member" "enqueuers_name_senders" {
  for_each = {
    for pair in setproduct(["ingest", "compute"], ["tasks-compute", "tasks-ingest"]) :
    "${pair[0]} as ${pair[1]}" => { who = pair[0], as = pair[1] }
  }

  service_account_id = google_service_account.this[each.value.as].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.members[each.value.who]
}

# The build: read the sources that Cloud Functions staged, write logs and the image.
resource "google_project_iam_member" "build" {
  for_each = toset(["roles/logging.logWriter", "roles/artifactregistry.writer"])

  project = var.project
  role    = each.value
  member  = local.members["build"]
}

resource "google_project_iam_member" "build_reads_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = local.members["build"]

  condition {
    title      = "staged sources of functions"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-\")"
  }
}
