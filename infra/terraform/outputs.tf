output "urls" {
  description = "Addresses of the functions."
  value       = local.urls
}

output "ingest_url" {
  description = "What the operator's client wants as L2CACHE_INGEST_URL."
  value       = local.urls.ingest
}

output "lookup_server" {
  description = "Where the look-up answers. CAVEclient asks https://LOCAL_SERVER/l2cache/..., so a route there (infra/ingress), or the load balancer, leads to it."
  value       = var.load_balancer == null ? local.urls.lookup : "https://${var.load_balancer.host}"
}

output "load_balancer_address" {
  description = "What the DNS record of the load balancer's host points to; null without one."
  value       = one([for address in google_compute_global_address.lookup : address.address])
}

output "topics" {
  description = "Topics and subscriptions: misses are published to the first, dead letters wait in the last."
  value = {
    misses       = local.misses_topic
    waited       = google_pubsub_topic.waited.id
    edits        = local.edits_topic
    replay       = google_pubsub_topic.replay.id
    dead_letters = google_pubsub_subscription.dead_letters.id
  }
}

output "queues" {
  description = "Task queues of ingests."
  value       = google_cloud_tasks_queue.this[*].id
}

output "bigtable_instance" {
  description = "Where the cache tables are."
  value       = "projects/${var.project}/instances/${local.bigtable_instance}"
}

output "identities" {
  description = "Service accounts, for granting access to buckets and tables of other projects."
  value       = { for key, account in google_service_account.this : key => account.email }
}

output "dashboard" {
  description = "The dashboard's page."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.this.id)}?project=${var.project}"
}

output "commands" {
  description = "First things to try."
  value = merge(local.asks_for_nobody, {
    look_up      = "curl ${local.urls.lookup}/l2cache/api/v1/table_mapping"
    test_ingest  = "curl -H \"Authorization: Bearer $(gcloud auth print-identity-token)\" -H 'Content-Type: application/json' -d '{\"dataset\": \"${keys(local.datasets)[0]}\", \"test\": true}' ${local.urls.ingest}/start"
    status       = "curl -H \"Authorization: Bearer $(gcloud auth print-identity-token)\" '${local.urls.ingest}/status?dataset=${keys(local.datasets)[0]}'"
    dead_letters = "python -m l2cache.deadletters list ${google_pubsub_subscription.dead_letters.id}"
    replay       = "python -m l2cache.deadletters replay ${google_pubsub_subscription.dead_letters.id} --topic ${google_pubsub_topic.replay.id}"
    logs         = "gcloud logging read 'resource.type=\"cloud_run_revision\" AND resource.labels.service_name:\"${var.name}-\" AND severity>=WARNING' --project ${var.project} --limit 20"
  })
}

locals {
  # With CAVE's authentication and no invokers, the platform refuses everybody until it is told not to ask.
  asks_for_nobody = var.auth_url == "" || length(local.lookup_invokers) > 0 ? {} : {
    open_lookup = "gcloud run services update ${var.name}-lookup --region=${var.region} --project=${var.project} --no-invoker-iam-check"
  }
}
