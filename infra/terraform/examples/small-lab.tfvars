# A lab with one dataset of some thousand chunks: everything scales to nothing but one Bigtable node.
project       = "my-lab-project"
region        = "us-east1"
bigtable_zone = "us-east1-b"
datasets_file = "examples/datasets.yaml"

auth_url           = "global.daf-apis.com/auth"
graph_token_secret = "l2cache-graph-token"
operators          = ["user:operator@example.org"]
alert_emails       = ["operator@example.org"]

bigtable_nodes = { min = 1, max = 2 }
compute        = { max_instances = 10 }
queues         = { per_second = 20, concurrent = 10 }
