# A lab with one dataset of some thousand chunks: everything scales to nothing but one Bigtable node.
project       = "my-lab-project"
region        = "us-east1"
bigtable_zone = "us-east1-b"
datasets_file = "examples/datasets.yaml"

auth_url           = "global.daf-apis.com/auth"
graph_token_secret = "l2cache-graph-token"
operators          = ["user:operator@example.org"]
alert_emails       = ["operator@example.org"]

# All instances together fit into a new project's quota of Cloud Run. An ingest takes five of the compute function's six
# instances: misses have one, and edits, if edits_topic is set, two of their own. What finds all of them busy is sent again
# for 15 hours before it is given up.
bigtable_nodes = { min = 1, max = 2 }
compute        = { max_instances = 6 }
queues         = { per_second = 20, concurrent = 5 }
