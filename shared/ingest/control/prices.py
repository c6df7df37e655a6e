"""List prices of what an ingest uses, in US dollars."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    """Prices of one region at one date, without free tiers and discounts.

    Attributes:
      valid: date and place.
      vcpu_s: a vCPU for a second, of a function that is billed while it serves a request.
      memory_gib_s: a GiB of its memory for a second.
      million_requests: a million calls of functions.
      million_tasks: a million operations of Cloud Tasks.
      table_gib_month: a GiB of SSD storage in Bigtable for a month.
      table_node_hour: a Bigtable node for an hour.
      million_file_reads: a million reads of files in Cloud Storage (class B operations, standard storage).
      million_file_writes: a million writes of files there (class A operations).
      files_gib_month: a GiB of files there for a month.
      log_gib: a GiB of records in Cloud Logging.
      region_gib: a GiB read from Cloud Storage out of another region of the same continent.
      alert_month: a condition of an alert for a month.
    """

    valid: str
    vcpu_s: float
    memory_gib_s: float
    million_requests: float
    million_tasks: float
    table_gib_month: float
    table_node_hour: float
    million_file_reads: float
    million_file_writes: float
    files_gib_month: float
    log_gib: float
    region_gib: float
    alert_month: float


LIST_PRICES = Prices(
    valid="2025, us-central1",
    vcpu_s=0.000024,
    memory_gib_s=0.0000025,
    million_requests=0.40,
    million_tasks=0.40,
    table_gib_month=0.17,
    table_node_hour=0.65,
    million_file_reads=0.40,
    million_file_writes=5.00,
    files_gib_month=0.020,
    log_gib=0.50,
    region_gib=0.02,
    alert_month=1.50,
)
"""From cloud.google.com/{run,tasks,bigtable,storage}/pricing and /stackdriver/pricing; compare with the present ones
before a large run."""
