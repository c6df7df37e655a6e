# Five ways for messages into the compute function: edits (from the chunked graph), which go to a service of their own;
# edits whose producer says that they may wait; misses (from the look-up); misses that a request waits for, which go where
# edits go; and replayed dead letters. Edits and misses may share a topic: a miss carries the attribute l2_cache_id, an edit
# does not; one that may wait has remesh_priority = "false" (`shared.messages.is_urgent` says the same). Replays have a topic
# of their own, since others listen on the exchange of the edits; what is waited for has one, since a subscription's filter
# cannot be changed.
#
# The compute function is an HTTP function that push subscriptions post to, instead of an Eventarc trigger: so attempts,
# back-off, dead letters and filters are ours to set.

locals {
  misses_topic = var.misses_topic == "" ? google_pubsub_topic.misses[0].id : (
    startswith(var.misses_topic, "projects/") ? var.misses_topic : "projects/${var.project}/topics/${var.misses_topic}"
  )
  edits_topic = var.edits_topic == "" || startswith(var.edits_topic, "projects/") ? var.edits_topic : (
    "projects/${var.project}/topics/${var.edits_topic}"
  )

  edits_condition = var.edits_filter == "" ? "" : " AND (${var.edits_filter})"
  all_subscriptions = {
    edits = {
      topic    = local.edits_topic
      filter   = "NOT attributes:l2_cache_id AND NOT attributes.remesh_priority = \"false\"${local.edits_condition}"
      function = "edits"
      sender   = "push-edits"
    }
    edits-slow = {
      topic    = local.edits_topic
      filter   = "NOT attributes:l2_cache_id AND attributes.remesh_priority = \"false\"${local.edits_condition}"
      function = "compute"
      sender   = "push"
    }
    misses = { topic = local.misses_topic, filter = "attributes:l2_cache_id", function = "compute", sender = "push" }
    waited = {
      topic    = google_pubsub_topic.waited.id
      filter   = ""
      function = local.follows_edits ? "edits" : "compute"
      sender   = local.follows_edits ? "push-edits" : "push"
    }
    replay = { topic = google_pubsub_topic.replay.id, filter = "", function = "compute", sender = "push" }
  }
  subscriptions = {
    for name, subscription in local.all_subscriptions :
    name => subscription if local.follows_edits || !startswith(name, "edits")
  }

  day_s = 24 * 60 * 60

  # Pauses double from the first to the longest; a message and a task are given up after so many hours of refusals.
  message_patience_h = sum([
    for attempt in range(var.push.attempts - 1) : min(var.push.max_pause_s, var.push.min_pause_s * pow(2, min(attempt, 10)))
  ]) / 3600
  task_patience_h = sum([
    for attempt in range(var.queues.attempts - 1) : min(var.queues.max_pause_s, var.queues.min_pause_s * pow(2, min(attempt, 8)))
  ]) / 3600
}

# While all instances are busy the platform refuses deliveries, and whoever delivers counts them as failed. That must not
# make dead letters of messages, nor lose tasks, that nobody has looked at: a flood of misses lasts hours.
check "saturation" {
  assert {
    condition     = local.message_patience_h >= 8 && local.task_patience_h >= 8
    error_message = "Where all instances are busy, messages become dead letters after ${floor(local.message_patience_h * 10) / 10} h, and tasks of ingests are lost after ${floor(local.task_patience_h * 10) / 10} h, without anybody having looked at them: let push.attempts and queues.attempts, with their pauses, last for 8 h at least."
  }
}

resource "google_pubsub_topic" "misses" {
  count = var.misses_topic == "" ? 1 : 0

  name       = "${var.name}-misses"
  labels     = local.labels
  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "waited" {
  name       = "${var.name}-waited"
  labels     = local.labels
  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "replay" {
  name       = "${var.name}-replay"
  labels     = local.labels
  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "dead_letters" {
  name       = "${var.name}-dead-letters"
  labels     = local.labels
  depends_on = [google_project_service.this]
}

resource "google_pubsub_subscription" "push" {
  for_each = local.subscriptions

  name                       = "${var.name}-${each.key}"
  topic                      = each.value.topic
  filter                     = each.value.filter
  labels                     = local.labels
  ack_deadline_seconds       = var.push.deadline_s
  message_retention_duration = "${var.push.keep_days * local.day_s}s"

  push_config {
    push_endpoint = local.urls[each.value.function]

    oidc_token {
      service_account_email = google_service_account.this[each.value.sender].email
      audience              = local.urls[each.value.function]
    }
  }

  retry_policy {
    minimum_backoff = "${var.push.min_pause_s}s"
    maximum_backoff = "${var.push.max_pause_s}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.push.attempts
  }

  expiration_policy {
    ttl = "" # never, however long nobody edits
  }

  depends_on = [google_cloud_run_service_iam_member.invokers, google_pubsub_topic_iam_member.dead_letters]
}

# Here dead letters wait for `python -m l2cache.deadletters`.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  labels                     = local.labels
  ack_deadline_seconds       = 600
  message_retention_duration = "${var.dead_letters_keep_days * local.day_s}s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "lookup_publishes_misses" {
  topic  = local.misses_topic
  role   = "roles/pubsub.publisher"
  member = local.members["lookup"]
}

resource "google_pubsub_topic_iam_member" "lookup_publishes_waited" {
  topic  = google_pubsub_topic.waited.id
  role   = "roles/pubsub.publisher"
  member = local.members["lookup"]
}

# Pub/Sub itself moves messages to the dead letters, and compute those whose reason it knows.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = merge({ pubsub = local.pubsub_agent }, { for name in local.computing : name => local.members[name] })

  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = each.value
}

resource "google_pubsub_subscription_iam_member" "pubsub_takes_failed" {
  for_each = google_pubsub_subscription.push

  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "operators_take_dead_letters" {
  for_each = var.operators

  subscription = google_pubsub_subscription.dead_letters.name
  role         = "roles/pubsub.subscriber"
  member       = each.value
}

resource "google_pubsub_topic_iam_member" "operators_replay" {
  for_each = var.operators

  topic  = google_pubsub_topic.replay.id
  role   = "roles/pubsub.publisher"
  member = each.value
}
