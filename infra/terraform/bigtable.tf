# The instance of the cache tables. The cache tables themselves are made by the ingest function: they are data, not
# infrastructure, and a `terraform destroy` shall not know of them.

locals {
  # Without the aliases, which are further names of datasets: {table_id: dataset}.
  datasets = { for name, entry in yamldecode(file(var.datasets_file)) : name => entry if try(entry.table_id, null) == null }

  bigtable_instance = var.bigtable_instance == "" ? google_bigtable_instance.this[0].name : var.bigtable_instance
  tables_path       = "projects/${var.project}/instances/${local.bigtable_instance}/tables"
  cache_tables      = toset([for dataset in values(local.datasets) : dataset.l2cache_id if try(dataset.l2cache_id, null) != null])

  cache_table_groups = chunklist(sort(local.cache_tables), 11)

  # Who does what with the rows of the cache tables. The table of states is written by all of them.
  table_roles = merge(
    { lookup = "roles/bigtable.reader", ingest = "roles/bigtable.user" },
    { for name in local.computing : name => "roles/bigtable.user" },
  )

  # The graphs' own tables, where datasets name them: bigtable://PROJECT/INSTANCE/TABLE.
  graph_tables = {
    for address in toset([for dataset in values(local.datasets) : dataset.graph_table if try(dataset.graph_table, null) != null]) :
    address => zipmap(["project", "instance", "table"], regex("^bigtable://([^/]+)/([^/]+)/([^/]+)$", address))
  }
}

resource "google_bigtable_instance" "this" {
  count = var.bigtable_instance == "" ? 1 : 0

  name                = "${var.name}-tables"
  display_name        = "L2 cache tables"
  deletion_protection = var.bigtable_deletion_protection
  labels              = local.labels

  cluster {
    cluster_id   = "${var.name}-tables-1"
    zone         = var.bigtable_zone
    storage_type = "SSD"

    autoscaling_config {
      min_nodes  = var.bigtable_nodes.min
      max_nodes  = var.bigtable_nodes.max
      cpu_target = var.bigtable_nodes.cpu_percent
    }
  }

  lifecycle {
    ignore_changes = [cluster[0].num_nodes]
  }
  depends_on = [google_project_service.this]
}

# Rows: in the configured cache tables only, which need not exist yet; other tables of the instance stay closed. A condition
# may have 12 logical operators, and a role 20 conditions for a member: so several tables share one.
resource "google_bigtable_instance_iam_member" "cache_tables" {
  for_each = {
    for pair in setproduct(keys(local.table_roles), range(length(local.cache_table_groups))) :
    "${pair[0]} ${pair[1] + 1}" => { who = pair[0], tables = local.cache_table_groups[pair[1]] }
  }

  instance = local.bigtable_instance
  role     = local.table_roles[each.value.who]
  member   = local.members[each.value.who]

  condition {
    title = "cache tables of ${var.name}"
    expression = join("", [
      "resource.type == \"bigtableadmin.googleapis.com/Table\" && (",
      join(" || ", [for table in each.value.tables : "resource.name == \"${local.tables_path}/${table}\""]),
      ")",
    ])
  }
}

# States of ids that have no row (pending, failed, unknown to the graph), of all cache tables of the instance, and what each
# caller of the look-up has had of a minute. They are lost without harm, and lie in a table of their own so that who may
# write them, the look-up, need not be allowed to write rows.
resource "google_bigtable_table" "states" {
  name          = "l2cache_states"
  instance_name = local.bigtable_instance

  column_family {
    family = "state"
  }
  column_family {
    family = "quota"
  }
  column_family {
    family = "totals"
  }
  depends_on = [google_project_service.this]
}

resource "google_bigtable_gc_policy" "states" {
  instance_name   = local.bigtable_instance
  table           = google_bigtable_table.states.name
  column_family   = "state"
  mode            = "UNION"
  deletion_policy = "ABANDON" # it goes with the table

  max_age {
    duration = "744h" # 31 days
  }
  max_version {
    number = 1
  }
}

resource "google_bigtable_gc_policy" "quota" {
  instance_name   = local.bigtable_instance
  table           = google_bigtable_table.states.name
  column_family   = "quota"
  mode            = "UNION"
  deletion_policy = "ABANDON" # it goes with the table

  max_age {
    duration = "1h"
  }
  max_version {
    number = 1
  }
}

# What whole neurons add up to.
resource "google_bigtable_gc_policy" "totals" {
  instance_name   = local.bigtable_instance
  table           = google_bigtable_table.states.name
  column_family   = "totals"
  mode            = "UNION"
  deletion_policy = "ABANDON" # it goes with the table

  max_age {
    duration = "744h" # 31 days
  }
  max_version {
    number = 1
  }
}

resource "google_bigtable_table_iam_member" "states" {
  for_each = local.table_roles

  instance = local.bigtable_instance
  table    = google_bigtable_table.states.name
  role     = "roles/bigtable.user"
  member   = local.members[each.key]
}

# Connections are opened and warmed on the instance, before any table is named.
resource "google_project_iam_custom_role" "connect" {
  role_id     = replace("${var.name}_bigtable_connect", "-", "_")
  title       = "${var.name}: open Bigtable connections"
  permissions = ["bigtable.instances.get", "bigtable.instances.ping"]
}

resource "google_bigtable_instance_iam_member" "connect" {
  for_each = local.table_roles

  instance = local.bigtable_instance
  role     = google_project_iam_custom_role.connect.id
  member   = local.members[each.key]
}

# Making a table is asked of the instance. No role of Google's allows just that.
resource "google_project_iam_custom_role" "create_tables" {
  role_id     = replace("${var.name}_bigtable_create_tables", "-", "_")
  title       = "${var.name}: create Bigtable tables"
  permissions = ["bigtable.tables.create", "bigtable.tables.get", "bigtable.tables.list"]
}

resource "google_bigtable_instance_iam_member" "create_tables" {
  instance = local.bigtable_instance
  role     = google_project_iam_custom_role.create_tables.id
  member   = local.members["ingest"]
}

# Graph tables are read by the compute function, in each of its services, and by the look-up, for the nodes of neurons. One in another project is named in the plan's error if whoever applies
# this may not grant access there.
resource "google_bigtable_table_iam_member" "graph_tables" {
  for_each = {
    for pair in setproduct(concat(local.computing, ["lookup"]), keys(local.graph_tables)) :
    pair[0] == "compute" ? pair[1] : "${pair[0]} ${pair[1]}" => { who = pair[0], place = local.graph_tables[pair[1]] }
  }

  project  = each.value.place.project
  instance = each.value.place.instance
  table    = each.value.place.table
  role     = "roles/bigtable.reader"
  member   = local.members[each.value.who]
}

resource "google_storage_bucket_iam_member" "segmentation" {
  for_each = {
    for pair in setproduct(local.computing, var.segmentation_buckets) :
    pair[0] == "compute" ? pair[1] : "${pair[0]} ${pair[1]}" => { who = pair[0], bucket = pair[1] }
  }

  bucket = each.value.bucket
  role   = "roles/storage.objectViewer"
  member = local.members[each.value.who]
}

# Computing writes and reads an export's files, and both functions its manifest.
resource "google_storage_bucket_iam_member" "exports" {
  for_each = {
    for pair in setproduct(["compute", "ingest"], distinct([for folder in var.export_folders : split("/", folder)[2]])) :
    "${pair[0]} ${pair[1]}" => { who = pair[0], bucket = pair[1] }
  }

  bucket = each.value.bucket
  role   = "roles/storage.objectUser"
  member = local.members[each.value.who]
}
