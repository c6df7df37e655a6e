# A cubic millimetre of ten million chunks, followed as it is proofread, beside the graph in its Bigtable instance.
project       = "my-em-project"
region        = "us-east1"
datasets_file = "examples/datasets.yaml"
labels        = { team = "connectomics", cost_centre = "em" }

auth_url           = "global.daf-apis.com/auth"
graph_token_secret = "l2cache-graph-token"
operators          = ["group:em-operators@example.org", "serviceAccount:ci@my-em-project.iam.gserviceaccount.com"]
alert_emails       = ["em-oncall@example.org"]

bigtable_instance    = "pychunkedgraph"
edits_topic          = "pychunkedgraph"
edits_filter         = "hasPrefix(attributes.table_id, \"minnie\")"
segmentation_buckets = ["my-em-segmentation"]
export_folders       = ["gs://my-lab-exports/l2cache"]

# To be asked for before (console: IAM & Admin, Quotas, Cloud Run Admin API, "Total CPU allocation" and "Total memory
# allocation, per project per region"); a new project has 20 vCPUs and 40 GiB.
quota = { vcpus = 1200, memory_gib = 4400 }

lookup  = { min_instances = 2, max_instances = 100 }
compute = { max_instances = 1000 }
edits   = { min_instances = 1, max_instances = 50 }
ingest  = { max_instances = 20 }
queues  = { count = 4, per_second = 100, concurrent = 240 }
