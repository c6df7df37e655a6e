"""The compute service that the settings describe."""

from __future__ import annotations

from shared.compute.service import ComputeService
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.files.open import Folders
from shared.graph.registry import Graphs
from shared.store.open import open_store
from shared.volume.cloudvolume import Volumes


def open_compute_service(settings: Settings) -> ComputeService:
    """The compute service that the settings describe; nothing is connected before it is used."""
    return ComputeService(
        datasets=Datasets.from_file(settings.datasets_file),
        store=open_store(settings.store),
        graphs=Graphs(settings),
        volumes=Volumes(),
        threads=settings.threads,
        budget_s=settings.budget_s,
        folders=Folders.below(settings.exports),
    )
