# Queues of an ingest's tasks. A task's name stays taken for hours after it ended, a deleted queue's name for days.

resource "google_cloud_tasks_queue" "this" {
  count = var.queues.count

  name     = "${var.name}-ingest-${count.index + 1}${var.queues.suffix}"
  location = var.region

  rate_limits {
    max_dispatches_per_second = var.queues.per_second
    max_concurrent_dispatches = var.queues.concurrent
  }

  retry_config {
    max_attempts  = var.queues.attempts
    min_backoff   = "${var.queues.min_pause_s}s"
    max_backoff   = "${var.queues.max_pause_s}s"
    max_doublings = 8
  }

  stackdriver_logging_config {
    sampling_ratio = 0.01 # failures tell their reason in the functions' logs
  }

  depends_on = [google_project_service.this]
}

# Ingest enqueues the tree of tasks, compute what a task had no time for.
resource "google_cloud_tasks_queue_iam_member" "enqueuers" {
  for_each = {
    for pair in setproduct(range(var.queues.count), ["ingest", "compute"]) :
    "${pair[1]} ${pair[0]}" => { queue = pair[0], who = pair[1] }
  }

  location = var.region
  name     = google_cloud_tasks_queue.this[each.value.queue].name
  role     = "roles/cloudtasks.enqueuer"
  member   = local.members[each.value.who]
}
