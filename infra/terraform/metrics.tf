# Metrics made of the functions' log records. Names of records and fields are those that `shared.telemetry.log.event` is given;
# tests/deploy/test_packages.py holds the two together.

locals {
  service = {
    for function, services in { lookup = ["lookup"], compute = ["compute", "edits"], ingest = ["ingest"] } :
    function => "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", formatlist("\"%s-%s\"", var.name, services))})"
  }

  look_ups = "${local.service.lookup} AND jsonPayload.message=\"request\" AND jsonPayload.route=\"attributes\""
  chunks   = "${local.service.compute} AND jsonPayload.message=\"chunk computed\""
  blocks   = "${local.service.compute} AND jsonPayload.message=\"block computed\""

  # How many records there were, told apart by some of their fields.
  counters = {
    look_ups = {
      description = "Look-ups, by status"
      filter      = local.look_ups
      labels      = { status = "status", dataset = "dataset" }
    }
    chunks_of_messages = {
      description = "Chunks computed for misses and edits"
      filter      = local.chunks
      labels      = { dataset = "dataset" }
    }
    messages = {
      description = "Messages handled, by kind and verdict"
      filter      = "${local.service.compute} AND jsonPayload.message=\"message handled\""
      labels      = { kind = "kind", verdict = "verdict", dataset = "dataset" }
    }
    failures = {
      description = "What went wrong, by record and error"
      filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name:\"${var.name}-\" AND severity>=ERROR AND jsonPayload.message:*"
      labels      = { record = "message", error = "error" }
    }
  }

  # The numbers in the records.
  distributions = {
    look_up_ms           = { description = "Look-ups: milliseconds in all", filter = local.look_ups, field = "total_ms", unit = "ms" }
    look_up_read_ms      = { description = "Look-ups: milliseconds reading the table", filter = local.look_ups, field = "read_ms", unit = "ms" }
    look_up_ids          = { description = "Look-ups: distinct ids asked for", filter = local.look_ups, field = "ids", unit = "1" }
    look_up_hits         = { description = "Look-ups: ids that have a row", filter = local.look_ups, field = "hits", unit = "1" }
    look_up_misses       = { description = "Look-ups: ids that could exist and have no row", filter = local.look_ups, field = "misses", unit = "1" }
    look_up_unpublished  = { description = "Look-ups: misses that the bus did not take", filter = local.look_ups, field = "unpublished", unit = "1" }
    chunk_read_ms        = { description = "Chunks of messages: milliseconds reading voxels", filter = local.chunks, field = "read_ms", unit = "ms" }
    chunk_map_ms         = { description = "Chunks of messages: milliseconds asking the graph", filter = local.chunks, field = "map_ms", unit = "ms" }
    chunk_features_ms    = { description = "Chunks of messages: milliseconds computing features", filter = local.chunks, field = "features_ms", unit = "ms" }
    chunk_write_ms       = { description = "Chunks of messages: milliseconds writing rows", filter = local.chunks, field = "write_ms", unit = "ms" }
    chunk_nodes          = { description = "Chunks of messages: rows written", filter = local.chunks, field = "nodes", unit = "1" }
    block_chunks         = { description = "Blocks of ingests: chunks computed", filter = local.blocks, field = "chunks", unit = "1" }
    block_nodes          = { description = "Blocks of ingests: rows written", filter = local.blocks, field = "nodes", unit = "1" }
    block_read_ms        = { description = "Blocks of ingests: milliseconds reading voxels", filter = local.blocks, field = "read_ms", unit = "ms" }
    block_map_ms         = { description = "Blocks of ingests: milliseconds asking the graph", filter = local.blocks, field = "map_ms", unit = "ms" }
    block_features_ms    = { description = "Blocks of ingests: milliseconds computing features", filter = local.blocks, field = "features_ms", unit = "ms" }
    block_write_ms       = { description = "Blocks of ingests: milliseconds writing rows", filter = local.blocks, field = "write_ms", unit = "ms" }
    message_milliseconds = { description = "Messages: milliseconds in all", filter = "${local.service.compute} AND jsonPayload.message=\"message handled\"", field = "message_ms", unit = "ms" }
  }

  metric_prefix = replace(var.name, "-", "_")
}

resource "google_logging_metric" "counters" {
  for_each = local.counters

  name        = "${local.metric_prefix}_${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
  label_extractors = { for label, field in each.value.labels : label => "EXTRACT(jsonPayload.${field})" }
  depends_on       = [google_project_service.this]
}

resource "google_logging_metric" "distributions" {
  for_each = local.distributions

  name            = "${local.metric_prefix}_${each.key}"
  description     = each.value.description
  filter          = "${each.value.filter} AND jsonPayload.${each.value.field}:*"
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 40
      growth_factor      = 1.5
      scale              = 1
    }
  }
  depends_on = [google_project_service.this]
}
