# What should wake somebody, with what to do about it.

locals {
  alert_rules = {
    dead_letters = {
      title    = "dead letters"
      query    = "${local.promql.dead_letters} > ${var.alerts.dead_letter_from}"
      for_s    = 0
      severity = "ERROR"
      advice   = "Messages were given up. `python -m l2cache.deadletters list ${google_pubsub_subscription.dead_letters.id}` shows them with their reasons; when the cause is mended, `python -m l2cache.deadletters replay` delivers them again."
    }
    error_ratio = {
      title    = "requests fail"
      query    = "${local.promql.error_ratio} > ${var.alerts.error_ratio}"
      for_s    = var.alerts.error_for_s
      severity = "ERROR"
      advice   = "Too many answers are 5xx. The records of severity ERROR of that function tell why: a storage, the graph server or the authentication service that is away, or a fault."
    }
    edits_age = {
      title    = "edits wait too long"
      query    = "${format(local.promql.message_age, "edits|waited")} > ${var.alerts.edits_age_s}"
      for_s    = 0
      severity = "WARNING"
      advice   = "Edits, or misses that requests wait for, are not computed in time, though no other miss is in front of them. Either their service is at edits.max_instances, or each delivery fails: see its records."
    }
    message_age = {
      title    = "messages wait too long"
      query    = "${format(local.promql.message_age, "edits-slow|misses|replay")} > ${var.alerts.message_age_s}"
      for_s    = 0
      severity = "WARNING"
      advice   = "Misses, replays or edits that may wait are not computed in time. Either the compute function is at compute.max_instances, or each delivery fails: see its records."
    }
    bigtable_cpu = {
      title    = "Bigtable is busy"
      query    = "${local.promql.bigtable_cpu} > ${var.alerts.bigtable_cpu}"
      for_s    = var.alerts.bigtable_for_s
      severity = "WARNING"
      advice   = "The cluster is at its limit of nodes, or an ingest writes faster than it scales: raise bigtable_nodes.max, or lower queues.concurrent."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "L2 cache alerts to ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  depends_on   = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alert_rules

  display_name          = "L2 cache (${var.name}): ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "${each.value.for_s}s"
      evaluation_interval = "60s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.advice
  }
  depends_on = [google_logging_metric.counters, google_logging_metric.distributions]
}
