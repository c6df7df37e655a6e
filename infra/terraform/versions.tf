terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # Which bucket keeps the state is said at `terraform init -backend-config=bucket=...`.
  backend "gcs" {
    prefix = "l2cache"
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = local.labels
}

data "google_project" "this" {
  project_id = var.project
}
