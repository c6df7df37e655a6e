# --- where -----------------------------------------------------------------------------------------------------------

variable "project" {
  description = "Id of the Google Cloud project that everything is made in."
  type        = string
}

variable "region" {
  description = "Region of functions, queues and secrets. Near the segmentation's bucket and the graph server is fastest and cheapest."
  type        = string
  default     = "us-east1"
}

variable "name" {
  description = "First part of all names; another one makes a second deployment in the same project."
  type        = string
  default     = "l2cache"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,13}$", var.name))
    error_message = "name must be 3-14 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "labels" {
  description = "Labels of everything that can have some, beside `app`."
  type        = map(string)
  default     = {}
}

# --- what ------------------------------------------------------------------------------------------------------------

variable "datasets_file" {
  description = "Path of the datasets' YAML: {graph id: {cv_path, l2cache_id[, graph_table]}}, and {alias: {table_id: graph id}}. It becomes a version of a secret, which the functions mount."
  type        = string
}

variable "dist" {
  description = "Folder that `make package` filled."
  type        = string
  default     = "../../dist"
}

variable "segmentation_buckets" {
  description = "Cloud Storage buckets of the segmentation that the compute function is to be allowed to read. Public buckets need no entry."
  type        = set(string)
  default     = []
}

variable "export_folders" {
  description = "Folders of Cloud Storage, gs://BUCKET/FOLDER, below which exports may be written and read. The buckets exist; the compute and ingest functions become users of their objects."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for folder in var.export_folders : can(regex("^gs://[^/\\s]+(/[^\\s]+)?$", folder))])
    error_message = "export_folders are written gs://BUCKET/FOLDER, without spaces."
  }
}

# --- secrets and authentication --------------------------------------------------------------------------------------

variable "graph_token_secret" {
  description = "Id of a secret in Secret Manager that holds the graph server's token; empty if the server wants none. Its value never enters Terraform's state."
  type        = string
  default     = ""
}

variable "graph_token_version" {
  description = "Version of that secret, a number, so that a new token is a deployment that can be rolled back."
  type        = string
  default     = "1"
}

variable "auth_url" {
  description = "The CAVE authentication service without `https://`, for example `global.daf-apis.com/auth`. Empty switches the look-up's own authentication off; then only `lookup_invokers` may call it, with Google identity tokens."
  type        = string
  default     = ""

  validation {
    condition     = !strcontains(var.auth_url, "://")
    error_message = "auth_url is written without https://."
  }
}

variable "sticky_auth_url" {
  description = "The authentication service that browsers are sent to, if it is another one."
  type        = string
  default     = ""
}

variable "auth_service_namespace" {
  description = "Namespace of the tables at the authentication service."
  type        = string
  default     = "pychunkedgraph"
}

variable "lookup_invokers" {
  description = "Who may call the look-up function, as IAM members. Everybody by default where `auth_url` is set, since the function then asks for a CAVE token itself; nobody otherwise. Where an organization restricts sharing to its domain, `allUsers` is refused: set [] and have the platform not ask (docs/deploying.md, Restricted sharing)."
  type        = set(string)
  default     = null
  nullable    = true
}

variable "operators" {
  description = "IAM members (user:..., group:..., serviceAccount:...) who may start and watch ingests, and replay dead letters."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setintersection(var.operators, ["allUsers", "allAuthenticatedUsers"])) == 0
    error_message = "operators are persons, groups and service accounts, never everybody."
  }
}

# --- Bigtable --------------------------------------------------------------------------------------------------------

variable "bigtable_instance" {
  description = "Name of an existing Bigtable instance in the project that is to hold the cache tables; empty to make one."
  type        = string
  default     = ""
}

variable "bigtable_zone" {
  description = "Zone of the cluster of a new instance."
  type        = string
  default     = "us-east1-b"
}

variable "bigtable_nodes" {
  description = "Autoscaling of a new instance: fewest and most nodes, and the CPU share aimed at (percent). A node costs money whether it is used or not."
  type = object({
    min         = number
    max         = number
    cpu_percent = optional(number, 60)
  })
  default = { min = 1, max = 3 }

  validation {
    condition     = var.bigtable_nodes.min >= 1 && var.bigtable_nodes.max >= var.bigtable_nodes.min
    error_message = "bigtable_nodes: 1 <= min <= max."
  }
  validation {
    condition     = var.bigtable_nodes.cpu_percent >= 10 && var.bigtable_nodes.cpu_percent <= 80
    error_message = "bigtable_nodes.cpu_percent must be 10 to 80."
  }
}

variable "bigtable_deletion_protection" {
  description = "Keeps `terraform destroy` from deleting a new instance, and all cache tables in it."
  type        = bool
  default     = true
}

# --- messages --------------------------------------------------------------------------------------------------------

variable "edits_topic" {
  description = "Existing topic that the chunked graph publishes edits to: a name in the project, or projects/PROJECT/topics/TOPIC. Empty: no edits are followed, there is no service for them, and the plan warns of that."
  type        = string
  default     = ""
}

variable "edits_filter" {
  description = "Further condition on edits, in Pub/Sub's filter language, where many graphs share the topic: `hasPrefix(attributes.table_id, \"minnie\")`. The function drops foreign datasets in any case. Changing it replaces the subscription, and what waits in it is lost."
  type        = string
  default     = ""

  validation {
    condition     = length(var.edits_filter) <= 170
    error_message = "Pub/Sub allows 256 bytes for the whole filter: at most 170 are left for edits_filter."
  }
}

variable "misses_topic" {
  description = "Existing topic for misses, where they are to share one with others: a name in the project, or projects/PROJECT/topics/TOPIC. Empty makes one."
  type        = string
  default     = ""
}

variable "push" {
  description = "Delivery of messages: attempts until a message becomes a dead letter (5-100; the platform's 429 while all instances are busy is one too), first and longest pause between them in seconds (0-600), seconds until a delivery without an answer counts as failed (10-600), and days that messages are kept."
  type = object({
    attempts     = optional(number, 100)
    min_pause_s  = optional(number, 10)
    max_pause_s  = optional(number, 600)
    deadline_s   = optional(number, 600)
    keep_days    = optional(number, 7)
    budget_share = optional(number, 0.8)
  })
  default = {}

  validation {
    condition     = var.push.attempts >= 5 && var.push.attempts <= 100
    error_message = "push.attempts must be 5 to 100."
  }
  validation {
    condition     = var.push.deadline_s >= 60 && var.push.deadline_s <= 600
    error_message = "push.deadline_s must be 60 to 600."
  }
  validation {
    condition     = var.push.budget_share > 0.1 && var.push.budget_share < 0.95
    error_message = "push.budget_share, the share of the deadline after which no further chunk is begun, must be 0.1 to 0.95."
  }
}

variable "dead_letters_keep_days" {
  description = "Days that dead letters are kept (at most 31)."
  type        = number
  default     = 31
}

# --- task queues -----------------------------------------------------------------------------------------------------

variable "queues" {
  description = "Cloud Tasks queues of ingests: how many, tasks per second and at a time of each (at most 500 and 5000), seconds until a task without an answer counts as failed (60-1800; a task begins no further chunk after 0.8 of it), and how a failed task is retried (a 429 of the platform's counts). `count * concurrent` stays below the compute function's `max_instances * concurrency`. A queue's name cannot be used again for 7 days after it was deleted (also if `count` goes down and up again): another `suffix` then makes other names."
  type = object({
    count       = optional(number, 1)
    per_second  = optional(number, 50)
    concurrent  = optional(number, 5)
    suffix      = optional(string, "")
    deadline_s  = optional(number, 600)
    attempts    = optional(number, 100)
    min_pause_s = optional(number, 5)
    max_pause_s = optional(number, 600)
  })
  default = {}

  validation {
    condition     = can(regex("^(-[a-z0-9-]{1,20})?$", var.queues.suffix))
    error_message = "queues.suffix must be empty, or a hyphen and up to 20 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = var.queues.count >= 1 && var.queues.per_second <= 500 && var.queues.concurrent <= 5000
    error_message = "queues: at least one; at most 500 tasks per second and 5000 at a time in each."
  }
  validation {
    condition     = var.queues.deadline_s >= 60 && var.queues.deadline_s <= 1800
    error_message = "queues.deadline_s must be 60 to 1800."
  }
}

# --- functions -------------------------------------------------------------------------------------------------------

variable "lookup" {
  description = "The look-up function: memory, CPUs, requests at a time in one instance, requests that may wait for what is missing beside these (`?wait=`), time-out in seconds, fewest and most instances. A min_instances of 1 saves users the cold start."
  type = object({
    memory        = optional(string, "1Gi")
    cpu           = optional(number, 1)
    concurrency   = optional(number, 40)
    waiting       = optional(number, 60)
    timeout_s     = optional(number, 60)
    min_instances = optional(number, 0)
    max_instances = optional(number, 4)
  })
  default = {}
}

variable "compute" {
  description = "The compute function. Memory covers a chunk of 256 x 256 x 512 voxels (`shared.features.chunk_memory_bytes`) and those read ahead, for one request at a time; each further CPU is a further thread, which in an ingest computes a chunk of its own and takes the memory of one."
  type = object({
    memory        = optional(string, "4Gi")
    cpu           = optional(number, 1)
    concurrency   = optional(number, 1)
    timeout_s     = optional(number, 1800)
    min_instances = optional(number, 0)
    max_instances = optional(number, 6)
  })
  default = {}

  validation {
    condition     = var.compute.timeout_s >= 600 && var.compute.timeout_s <= 3600
    error_message = "compute.timeout_s must be 600 (a push) to 3600; not below queues.deadline_s."
  }
}

variable "edits" {
  description = "The compute function's second service, where `edits_topic` is set: it takes the edits that somebody waits for and nothing else, so that its instances are theirs, however many misses wait. As `compute`; a min_instances of 1 saves the first edit after a while the cold start."
  type = object({
    memory        = optional(string, "4Gi")
    cpu           = optional(number, 1)
    concurrency   = optional(number, 1)
    timeout_s     = optional(number, 600)
    min_instances = optional(number, 0)
    max_instances = optional(number, 2)
  })
  default = {}

  validation {
    condition     = var.edits.timeout_s >= 600 && var.edits.timeout_s <= 3600
    error_message = "edits.timeout_s must be 600 (a push) to 3600."
  }
  validation {
    condition     = var.edits.max_instances >= 1
    error_message = "edits.max_instances must be at least 1: nobody else takes edits."
  }
}

variable "ingest" {
  description = "The ingest function. Its concurrency serves operators while tasks expand."
  type = object({
    memory        = optional(string, "1Gi")
    cpu           = optional(number, 1)
    concurrency   = optional(number, 8)
    timeout_s     = optional(number, 600)
    min_instances = optional(number, 0)
    max_instances = optional(number, 2)
  })
  default = {}
}

variable "lookup_ingress" {
  description = "From where the look-up function can be reached at all. By default from everywhere, or with a load balancer through that only."
  type        = string
  default     = null
  nullable    = true

  validation {
    condition     = var.lookup_ingress == null || contains(["ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_ALL"], coalesce(var.lookup_ingress, "ALLOW_ALL"))
    error_message = "lookup_ingress must be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "compute_ingress" {
  description = "From where the compute function, in each of its services, can be reached at all; IAM decides in any case. Pub/Sub and Cloud Tasks of the project count as internal."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"

  validation {
    condition     = contains(["ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_ALL"], var.compute_ingress)
    error_message = "compute_ingress must be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "ingest_ingress" {
  description = "From where the ingest function can be reached at all; IAM decides in any case. ALLOW_INTERNAL_ONLY suits operators inside the project's network."
  type        = string
  default     = "ALLOW_ALL"

  validation {
    condition     = contains(["ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_ALL"], var.ingest_ingress)
    error_message = "ingest_ingress must be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "quota" {
  description = "What Cloud Run allows the project in the region: vCPUs and GiB of all instances together. The defaults are those of a new project; a plan warns if all instances together may take more."
  type = object({
    vcpus      = optional(number, 20)
    memory_gib = optional(number, 40)
  })
  default = {}
}

variable "settings" {
  description = "Further environment variables of all functions, as docs/configuration.md lists them: { L2CACHE_MAX_IDS = \"200000\" }."
  type        = map(string)
  default     = {}
}

# --- watching --------------------------------------------------------------------------------------------------------

variable "alert_emails" {
  description = "Addresses that alerts are sent to."
  type        = set(string)
  default     = []
}

variable "alerts" {
  description = "When alerts fire: share of failing requests, age of the oldest waiting message and of the oldest waiting edit in seconds, and Bigtable's CPU load, as shares of 1."
  type = object({
    error_ratio      = optional(number, 0.02)
    message_age_s    = optional(number, 1800)
    edits_age_s      = optional(number, 300)
    bigtable_cpu     = optional(number, 0.9)
    error_for_s      = optional(number, 300)
    bigtable_for_s   = optional(number, 900)
    dead_letter_from = optional(number, 0)
  })
  default = {}
}

# --- the address of the look-up --------------------------------------------------------------------------------------

variable "load_balancer" {
  description = "A global load balancer before the look-up, for a deployment without an ingress of its own: clients find the cache at https://HOST/l2cache/... and nowhere else. `host`: a name whose DNS record points to the output `load_balancer_address`; it gets a managed certificate. `other_paths`: id of a backend service that takes all other paths of that host (projects/PROJECT/global/backendServices/NAME); without it the look-up answers them with 404. `requests_per_minute`: of one address, beyond which Cloud Armor answers 429; 0 for no rule. null: none of it."
  type = object({
    host                = string
    path                = optional(string, "l2cache")
    other_paths         = optional(string, "")
    requests_per_minute = optional(number, 0)
  })
  default  = null
  nullable = true
}
