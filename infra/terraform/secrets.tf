# The datasets' YAML lies in Secret Manager too: each version stays, and a function names the one it was deployed with.

resource "google_secret_manager_secret" "datasets" {
  secret_id = "${var.name}-datasets"
  labels    = local.labels

  replication {
    auto {}
  }
  depends_on = [google_project_service.this]
}

resource "google_secret_manager_secret_version" "datasets" {
  secret          = google_secret_manager_secret.datasets.id
  secret_data     = file(var.datasets_file)
  deletion_policy = "ABANDON" # a version that a former deployment mounts must stay for rolling back
}

resource "google_secret_manager_secret_iam_member" "datasets" {
  for_each = local.functions

  secret_id = google_secret_manager_secret.datasets.id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members[each.key]
}

# The graph server's token. It is made with gcloud (see docs/deploying.md), so that its value is in no state file.
resource "google_secret_manager_secret_iam_member" "graph_token" {
  for_each = var.graph_token_secret == "" ? {} : local.functions

  project   = var.project
  secret_id = var.graph_token_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members[each.key]
}
