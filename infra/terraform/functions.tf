# The three functions, 2nd generation. Each is a Cloud Run service of the same name, whose address follows from name,
# project number and region: so a function can be told its own address, and that of the others, before it exists.
#
# The compute function is deployed twice where edits are followed: `edits` takes those that somebody waits for, `compute`
# all the rest. However many misses wait and however large an ingest is, the instances of `edits` are free for edits.

locals {
  package = jsondecode(file("${var.dist}/package.json"))

  follows_edits = local.edits_topic != ""
  computing     = local.follows_edits ? ["compute", "edits"] : ["compute"]

  functions = { for name, function in local.all_functions : name => function if name != "edits" || local.follows_edits }

  all_functions = {
    lookup = merge({ for name, value in var.lookup : name => value if name != "waiting" }, {
      description = "L2 cache: answers look-ups"
      package     = "lookup"
      ingress     = local.lookup_ingress
      concurrency = var.lookup.concurrency + var.lookup.waiting
      environment = merge(local.auth_environment, {
        THREADS                  = tostring(local.threads.lookup)
        L2CACHE_WAITED_BUS       = "pubsub://${var.project}/${google_pubsub_topic.waited.name}"
        L2CACHE_WAITING_REQUESTS = tostring(var.lookup.waiting)
      })
    })
    compute = merge(var.compute, {
      description = "L2 cache: computes the nodes of messages and the chunks of ingests"
      package     = "compute"
      ingress     = var.compute_ingress
      environment = merge(local.compute_environment.compute, local.exports_environment)
    })
    edits = merge(var.edits, {
      description = "L2 cache: computes the nodes of edits, and nothing else"
      package     = "compute"
      ingress     = var.compute_ingress
      environment = local.compute_environment.edits
    })
    ingest = merge(var.ingest, {
      description = "L2 cache: plans, starts and watches ingests"
      package     = "ingest"
      ingress     = var.ingest_ingress
      environment = merge(local.exports_environment, { THREADS = tostring(local.threads.ingest) })
    })
  }

  # Of a server with one thread, a connection that says nothing takes all there is. How many requests an instance gets at
  # a time the platform decides. A look-up that waits has a thread beside those that others need.
  threads = {
    for name, concurrency in {
      lookup  = var.lookup.concurrency + var.lookup.waiting
      compute = var.compute.concurrency
      edits   = var.edits.concurrency
      ingest  = var.ingest.concurrency
    } : name => max(2, concurrency)
  }

  # Behind a load balancer nobody gets past its rules.
  lookup_ingress = coalesce(var.lookup_ingress, var.load_balancer == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB")

  compute_environment = {
    for name, service in { compute = var.compute, edits = var.edits } : name => {
      THREADS                      = tostring(local.threads[name])
      CLOUD_VOLUME_DIR             = "/tmp/cloudvolume"
      L2CACHE_THREADS              = tostring(max(1, floor(service.cpu / service.concurrency)))
      L2CACHE_BUDGET_S             = tostring(floor(var.push.deadline_s * var.push.budget_share))
      L2CACHE_LEAF_BUDGET_S        = tostring(floor(var.queues.deadline_s * 0.8))
      L2CACHE_DEAD_LETTERS         = "pubsub://${var.project}/${google_pubsub_topic.dead_letters.name}"
      L2CACHE_DELIVERY_ATTEMPTS    = tostring(var.push.attempts)
    }
  }

  exports_environment = length(var.export_folders) == 0 ? {} : { L2CACHE_EXPORTS = join(" ", var.export_folders) }

  urls = {
    for name in keys(local.functions) :
    name => "https://${var.name}-${name}-${data.google_project.this.number}.${var.region}.run.app"
  }

  auth_environment = var.auth_url == "" ? { AUTH_DISABLED = "true" } : merge(
    { AUTH_URL = var.auth_url, AUTH_SERVICE_NAMESPACE = var.auth_service_namespace },
    var.sticky_auth_url == "" ? {} : { STICKY_AUTH_URL = var.sticky_auth_url },
  )

  # Each address tells where the queue's tasks go and as whom.
  queue_addresses = [
    for queue in google_cloud_tasks_queue.this : join("", [
      "cloudtasks://${var.project}/${var.region}/${queue.name}",
      "?compute=${local.urls.compute}&compute_service_account=${google_service_account.this["tasks-compute"].email}",
      "&ingest=${local.urls.ingest}&ingest_service_account=${google_service_account.this["tasks-ingest"].email}",
      "&deadline_s=${var.queues.deadline_s}",
    ])
  ]

  environment = merge({
    L2CACHE_DATASETS     = "/etc/l2cache/datasets.yaml"
    L2CACHE_STORE        = "bigtable://${var.project}/${local.bigtable_instance}"
    L2CACHE_BUS          = "pubsub://${element(split("/", local.misses_topic), 1)}/${element(split("/", local.misses_topic), 3)}"
    L2CACHE_QUEUE        = join(",", local.queue_addresses)
    GOOGLE_CLOUD_PROJECT = var.project
  }, var.settings)

  # Who may call what. The function's own identity is never among them.
  invokers = merge(
    { "compute push" = { function = "compute", member = local.members["push"] } },
    local.follows_edits ? { "edits push" = { function = "edits", member = local.members["push-edits"] } } : {},
    { "compute tasks" = { function = "compute", member = local.members["tasks-compute"] } },
    { "ingest tasks" = { function = "ingest", member = local.members["tasks-ingest"] } },
    { for member in var.operators : "ingest ${member}" => { function = "ingest", member = member } },
    { for member in local.lookup_invokers : "lookup ${member}" => { function = "lookup", member = member } },
  )
  lookup_invokers = coalesce(var.lookup_invokers, var.auth_url == "" ? [] : ["allUsers"])
}

resource "google_storage_bucket" "sources" {
  name                        = "${var.project}-${var.name}-sources"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = local.labels
  force_destroy               = true # sources only; they are in git

  versioning {
    enabled = true
  }
  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_object" "sources" {
  for_each = toset([for function in local.functions : function.package])

  bucket = google_storage_bucket.sources.name
  name   = "${each.key}-${filesha256("${var.dist}/${each.key}.zip")}.zip"
  source = "${var.dist}/${each.key}.zip"
}

resource "google_cloudfunctions2_function" "this" {
  for_each = local.functions

  name        = "${var.name}-${each.key}"
  location    = var.region
  description = each.value.description
  labels      = local.labels

  build_config {
    runtime         = local.package.runtime
    entry_point     = each.value.package
    service_account = google_service_account.this["build"].id

    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = google_storage_bucket_object.sources[each.value.package].name
      }
    }
  }

  service_config {
    available_memory                 = each.value.memory
    available_cpu                    = tostring(each.value.cpu)
    max_instance_request_concurrency = each.value.concurrency
    timeout_seconds                  = each.value.timeout_s
    min_instance_count               = each.value.min_instances
    max_instance_count               = each.value.max_instances
    ingress_settings                 = each.value.ingress
    all_traffic_on_latest_revision   = true
    service_account_email            = google_service_account.this[each.key].email
    environment_variables            = merge(local.environment, each.value.environment)

    secret_volumes {
      mount_path = "/etc/l2cache"
      project_id = var.project
      secret     = google_secret_manager_secret.datasets.secret_id

      versions {
        path    = "datasets.yaml"
        version = google_secret_manager_secret_version.datasets.version
      }
    }

    dynamic "secret_environment_variables" {
      for_each = var.graph_token_secret == "" ? [] : [var.graph_token_secret]
      content {
        key        = "L2CACHE_GRAPH_TOKEN"
        project_id = var.project
        secret     = secret_environment_variables.value
        version    = var.graph_token_version
      }
    }
  }

  lifecycle {
    precondition {
      condition     = var.auth_url != "" || !contains(local.lookup_invokers, "allUsers")
      error_message = "Without auth_url the look-up asks for no token: allUsers must not be among lookup_invokers."
    }
    precondition {
      condition     = var.queues.count * var.queues.concurrent < var.compute.max_instances * var.compute.concurrency
      error_message = "An ingest may take all instances of the compute function: queues.count * queues.concurrent must be below compute.max_instances * compute.concurrency, so that misses are computed meanwhile."
    }
    precondition {
      condition     = length("${var.name}-${each.key}-${data.google_project.this.number}") <= 63
      error_message = "The name is too long for an address of Cloud Run: choose a shorter one."
    }
  }

  depends_on = [time_sleep.grants_hold]
}

# The platform checks signature, audience and identity of every caller's token before the function hears of the request.
resource "google_cloud_run_service_iam_member" "invokers" {
  for_each = local.invokers

  location = var.region
  service  = google_cloudfunctions2_function.this[each.value.function].name
  role     = "roles/run.invoker"
  member   = each.value.member
}

# `gcloud functions call` looks the function up before it calls it.
resource "google_cloudfunctions2_function_iam_member" "operators_see_ingest" {
  for_each = var.operators

  location       = var.region
  cloud_function = google_cloudfunctions2_function.this["ingest"].name
  role           = "roles/cloudfunctions.viewer"
  member         = each.value
}

locals {
  memory_gib = {
    for name, function in local.functions :
    name => tonumber(regex("^[0-9.]+", function.memory)) / (endswith(function.memory, "Mi") ? 1024 : 1)
  }
  most_memory_gib = sum([for name, function in local.functions : function.max_instances * local.memory_gib[name]])
  most_vcpus      = sum([for function in local.functions : function.max_instances * function.cpu])
}

# A new project may use 20 vCPUs and 40 GiB of Cloud Run in a region. Instances beyond the quota are refused, and requests
# with them; this says so before.
check "quota" {
  assert {
    condition     = local.most_memory_gib <= var.quota.memory_gib && local.most_vcpus <= var.quota.vcpus
    error_message = "All instances together may take ${local.most_vcpus} vCPUs and ${local.most_memory_gib} GiB, more than the quota of Cloud Run that the variable quota names (${var.quota.vcpus} vCPUs, ${var.quota.memory_gib} GiB in ${var.region}). Ask for more (console: IAM & Admin, Quotas, Cloud Run Admin API: 'Total CPU allocation' and 'Total memory allocation, per project per region'), then set quota; or lower max_instances."
  }
}
