"""Google's services: when a request is worth another try, and Bigtable."""
