"""The compute service that the settings describe."""

from __future__ import annotations

from shared.compute.service import ComputeService
from shared.datasets import Datasets
from shared.graph import Graphs
from shared.settings import Settings
from shared.store import open_store
from shared.volume import Volumes


def open_compute_service(settings: Settings) -> ComputeService:
    """The compute service that the settings describe; nothing is connected before it is used."""
    return ComputeService(
        datasets=Datasets.from_file(settings.datasets_file),
        store=open_store(settings.store),
        graphs=Graphs(settings),
        volumes=Volumes(),
        threads=settings.threads,
        budget_s=settings.budget_s,
    )
