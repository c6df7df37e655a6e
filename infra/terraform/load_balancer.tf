# A global external load balancer before the look-up. Clients of CAVE build the cache's address from the deployment's own
# host, https://HOST/l2cache/api/v1: so that host's /l2cache/ has to lead to the function. A deployment that has an ingress
# adds a route there instead (infra/ingress).

locals {
  balanced = var.load_balancer == null ? {} : { lookup = var.load_balancer }
}

resource "google_compute_region_network_endpoint_group" "lookup" {
  for_each = local.balanced

  name                  = "${var.name}-lookup"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloudfunctions2_function.this["lookup"].name
  }
  depends_on = [google_project_service.this]
}

resource "google_compute_security_policy" "lookup" {
  for_each = { for name, balancer in local.balanced : name => balancer if balancer.requests_per_minute > 0 }

  name        = "${var.name}-lookup"
  description = "Requests of one address in a minute"

  rule {
    action   = "throttle"
    priority = 1000

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = each.value.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "all others"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
  depends_on = [google_project_service.this]
}

resource "google_compute_backend_service" "lookup" {
  for_each = local.balanced

  name                  = "${var.name}-lookup"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = one([for policy in google_compute_security_policy.lookup : policy.id])

  backend {
    group = google_compute_region_network_endpoint_group.lookup[each.key].id
  }
}

resource "google_compute_url_map" "lookup" {
  for_each = local.balanced

  name            = "${var.name}-lookup"
  default_service = google_compute_backend_service.lookup[each.key].id

  host_rule {
    hosts        = [each.value.host]
    path_matcher = "cave"
  }

  path_matcher {
    name            = "cave"
    default_service = each.value.other_paths == "" ? google_compute_backend_service.lookup[each.key].id : each.value.other_paths

    path_rule {
      paths   = ["/${each.value.path}", "/${each.value.path}/*"]
      service = google_compute_backend_service.lookup[each.key].id
    }
  }
}

resource "google_compute_managed_ssl_certificate" "lookup" {
  for_each = local.balanced

  name = "${var.name}-lookup-${substr(sha256(each.value.host), 0, 8)}"

  managed {
    domains = [each.value.host]
  }

  lifecycle {
    create_before_destroy = true
  }
  depends_on = [google_project_service.this]
}

resource "google_compute_target_https_proxy" "lookup" {
  for_each = local.balanced

  name             = "${var.name}-lookup"
  url_map          = google_compute_url_map.lookup[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.lookup[each.key].id]
}

resource "google_compute_global_address" "lookup" {
  for_each = local.balanced

  name       = "${var.name}-lookup"
  depends_on = [google_project_service.this]
}

resource "google_compute_global_forwarding_rule" "lookup" {
  for_each = local.balanced

  name                  = "${var.name}-lookup"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.lookup[each.key].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.lookup[each.key].id
}
