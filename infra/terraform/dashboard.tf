# One page that shows how the system does. Queries are PromQL, in which Cloud Monitoring's metrics have these names:
# https://cloud.google.com/monitoring/promql/promql-mapping

locals {
  our_metric   = "logging_googleapis_com:user_${local.metric_prefix}"
  our_services = "monitored_resource=\"cloud_run_revision\",service_name=~\"${var.name}-(lookup|compute|edits|ingest)\""
  # A log-based metric may have several monitored resources: without this a query is refused as ambiguous.
  our_records = "monitored_resource=\"cloud_run_revision\""
  our_pushes  = "subscription_id=~\"${var.name}-(%s)\""
  all_pushes  = "edits|edits-slow|misses|waited|replay"

  promql = {
    requests          = "sum by (status) (rate(${local.our_metric}_look_ups{${local.our_records}}[5m]))"
    latency           = "histogram_quantile(%s, sum by (le) (rate(${local.our_metric}_look_up_ms_bucket{${local.our_records}}[5m])))"
    hit_ratio         = "sum(rate(${local.our_metric}_look_up_hits_sum{${local.our_records}}[5m])) / (sum(rate(${local.our_metric}_look_up_hits_sum{${local.our_records}}[5m])) + sum(rate(${local.our_metric}_look_up_misses_sum{${local.our_records}}[5m])))"
    message_age       = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local.our_pushes}})"
    messages_waiting  = "sum by (subscription_id) (pubsub_googleapis_com:subscription_num_undelivered_messages{${local.our_pushes}})"
    chunks_ingest     = "sum(rate(${local.our_metric}_block_chunks_sum{${local.our_records}}[5m]))"
    chunks_messages   = "sum(rate(${local.our_metric}_chunks_of_messages{${local.our_records}}[5m]))"
    chunk_steps       = "sum(rate(${local.our_metric}_block_%s_ms_sum{${local.our_records}}[5m])) / sum(rate(${local.our_metric}_block_chunks_sum{${local.our_records}}[5m]))"
    failures          = "sum by (record, error) (rate(${local.our_metric}_failures{${local.our_records}}[5m]))"
    error_ratio       = "sum by (service_name) (rate(run_googleapis_com:request_count{${local.our_services},response_code_class=\"5xx\"}[5m])) / sum by (service_name) (rate(run_googleapis_com:request_count{${local.our_services}}[5m]))"
    dead_letters      = "sum(pubsub_googleapis_com:subscription_num_undelivered_messages{subscription_id=\"${google_pubsub_subscription.dead_letters.name}\"})"
    tasks_waiting     = "sum by (queue_id) (cloudtasks_googleapis_com:queue_depth{queue_id=~\"${var.name}-ingest-.*\"})"
    bigtable_cpu      = "max by (cluster) (bigtable_googleapis_com:cluster_cpu_load{instance=\"${local.bigtable_instance}\"})"
    bigtable_nodes    = "sum by (cluster) (bigtable_googleapis_com:cluster_node_count{instance=\"${local.bigtable_instance}\"})"
    running_instances = "sum by (service_name) (run_googleapis_com:container_instance_count{${local.our_services},state=\"active\"})"
  }

  charts = [
    { title = "Look-ups per second, by status", queries = { "$${status}" = local.promql.requests } },
    { title = "Look-ups: milliseconds", queries = { for q in ["0.5", "0.95", "0.99"] : "p${q * 100}" => format(local.promql.latency, q) } },
    { title = "Share of ids that were cached", queries = { "hits" = local.promql.hit_ratio } },
    { title = "Age of the oldest waiting message (s)", queries = { "$${subscription_id}" = format(local.promql.message_age, local.all_pushes) } },
    { title = "Waiting messages", queries = { "$${subscription_id}" = format(local.promql.messages_waiting, local.all_pushes) } },
    { title = "Chunks per second", queries = { "ingest" = local.promql.chunks_ingest, "misses and edits" = local.promql.chunks_messages } },
    { title = "Ingest: milliseconds per chunk, by step", queries = { for step in ["read", "map", "features", "write"] : step => format(local.promql.chunk_steps, step) } },
    { title = "Waiting tasks", queries = { "$${queue_id}" = local.promql.tasks_waiting } },
    { title = "Failures per second", queries = { "$${record} $${error}" = local.promql.failures } },
    { title = "Share of requests answered 5xx", queries = { "$${service_name}" = local.promql.error_ratio } },
    { title = "Dead letters", queries = { "waiting" = local.promql.dead_letters } },
    { title = "Bigtable: CPU load", queries = { "$${cluster}" = local.promql.bigtable_cpu } },
    { title = "Bigtable: nodes", queries = { "$${cluster}" = local.promql.bigtable_nodes } },
    { title = "Instances at work", queries = { "$${service_name}" = local.promql.running_instances } },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "L2 cache (${var.name})"
    mosaicLayout = {
      columns = 48
      tiles = [
        for index, chart in local.charts : {
          xPos   = (index % 3) * 16
          yPos   = floor(index / 3) * 16
          width  = 16
          height = 16
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [
                for legend, query in chart.queries : {
                  plotType        = "LINE"
                  legendTemplate  = legend
                  timeSeriesQuery = { prometheusQuery = query }
                }
              ]
            }
          }
        }
      ]
    }
  })
  depends_on = [google_logging_metric.counters, google_logging_metric.distributions]
}
