"""The Python of tutorial, recipes and README, run as it stands there against a deployment with a made brain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from infra.standin.world.parameters import TABLE, WorldParameters
from tests.support.documentation import blocks, pages
from tests.support.documentation_code import Reader, reader_of_made_brain
from tests.support.tutorial_figure import FIGURE

PAGES = pages()
CONNECT, CONNECT_TO_DEMO, *TUTORIAL = blocks(PAGES["docs/tutorial.md"], "python")
OPENING, *RECIPES = blocks(PAGES["docs/recipes.md"], "python")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    parameters = WorldParameters(size_voxels=(150, 140, 130), chunk_size_voxels=(64, 64, 64))
    with reader_of_made_brain(tmp_path_factory.mktemp("reader"), parameters) as reader:
        yield reader


def local(code: str, reader: Reader) -> str:
    """The code with the addresses and the graph of this stack in the place of those that are written there."""
    code = code.replace("http://localhost:8080", reader.stack.lookup_url)
    return code.replace("http://localhost:8083", reader.stack.graph_url).replace("minnie3_v1", TABLE)


def test_the_tutorial_ends_with_a_picture_and_nothing_missing(reader: Reader) -> None:
    printed = reader.run([CONNECT, *TUTORIAL])
    assert "L2 nodes" in printed
    assert "\n0 L2 nodes are missing\n0 of " in printed
    assert "<svg" in (reader.home / FIGURE).read_text()


def test_the_tutorial_can_be_followed_with_the_demo(reader: Reader) -> None:
    assert "µm³" in reader.run([local(CONNECT_TO_DEMO, reader), *TUTORIAL[:3]])


def test_a_table_has_nan_for_missing_nodes_but_coordinates_that_are_none(reader: Reader) -> None:
    """What the tutorial warns of is so, and its remedy is one."""
    drop = next(code for code in TUTORIAL if code.startswith("present = "))
    printed = reader.run(
        [
            CONNECT,
            "l2_ids = list(client.chunkedgraph.get_leaves(root_id, stop_layer=2))",
            "table = client.l2cache.get_l2data_table([*l2_ids, l2_ids[0] + 400_000])",
            drop,
            "missing = table[table['size_nm3'].isna()]",
            "print(missing['rep_coord_nm_x'].isna().sum(), len(missing), len(present) == len(l2_ids))",
        ]
    )
    assert printed.splitlines()[0].startswith("1 of ")
    assert printed.splitlines()[1] == "0 1 True"


def test_the_volume_recipe_counts_every_node(reader: Reader) -> None:
    recipe = next(code for code in RECIPES if "sizes_nm3 = [" in code)
    printed = reader.run([OPENING, recipe, "print(len(sizes_nm3) == len(l2_ids))"])
    assert printed.endswith("True\n")


def test_the_caches_own_sum_is_the_volume_recipes(reader: Reader) -> None:
    volume, total = (next(code for code in RECIPES if mark in code) for mark in ("sizes_nm3 = [", "total = "))
    printed = reader.run([OPENING, volume, total, "print(total['size_nm3'] == sum(sizes_nm3))"])
    assert " 0 of " in printed
    assert printed.endswith("True\n")


def test_the_skeleton_recipe_makes_a_skeleton(reader: Reader) -> None:
    recipe = next(code for code in RECIPES if "pcg_skel" in code)
    length_um = float(reader.run([OPENING, recipe]).split()[-5])
    assert length_um > 0


def test_the_link_holds_a_point_in_each_node(reader: Reader) -> None:
    recipe = next(code for code in RECIPES if "neuroglancer" in code or "VIEWER" in code)
    link, count = reader.run([OPENING, recipe, "print(len(l2_ids))"]).splitlines()[-2:]
    state = json.loads(unquote(link.partition("#!")[2]))
    neuron, nodes = state["layers"]
    assert neuron["source"].startswith("graphene://middleauth+http")
    assert neuron["segments"] == [str(reader.root_id)]
    assert len(nodes["annotations"]) == int(count)
    offset = WorldParameters().voxel_offset
    for point in nodes["annotations"]:
        assert all(0 <= at - low < 192 for at, low in zip(point["point"], offset, strict=True))
    # what is named for longer ones is there
    assert reader.run([OPENING, "print(client.state.upload_state_json, client.state.build_neuroglancer_url)"])


def test_the_recipe_without_caveclient_gets_the_same_volumes(reader: Reader) -> None:
    recipe = next(code for code in RECIPES if "octet-stream" in code)
    same = "print(sizes_nm3 == {int(k): v['size_nm3'] for k, v in client.l2cache.get_l2data(l2_ids).items()})"
    assert reader.run([OPENING, recipe, same]) == "True\n"


def test_the_table_recipe_has_every_node_in_three_programs(reader: Reader) -> None:
    recipe = next(code for code in RECIPES if "open_stream" in code)
    alike = "print(len(with_pandas) == len(with_polars) == len(with_duckdb) == len(l2_ids) > 0)"
    whole = "print(set(with_pandas['state']) == {'cached'}, with_polars['size_nm3'].null_count())"
    assert reader.run([OPENING, recipe, alike, whole]).endswith("True\nTrue 0\n")


def test_the_table_of_neurons_has_the_same_volume_in_three_programs(reader: Reader) -> None:
    volume, recipe = (next(code for code in RECIPES if mark in code) for mark in ("sizes_nm3 = [", "neurons = "))
    by_duckdb = "neurons_with_duckdb.select('size_nm3').fetchall()[0][0]"
    found = f"{{neurons['size_nm3'][0], neurons_with_pandas['size_nm3'][0], {by_duckdb}}}"
    printed = reader.run([OPENING, volume, recipe, f"print({found} == {{sum(sizes_nm3)}}, len(neurons))"])
    assert printed.endswith("True 1\n")


def test_every_recipe_is_run() -> None:
    marks = ("sizes_nm3 = [", "total = ", "pcg_skel", "VIEWER", "params=", "with_polars = ", "neurons = ")
    assert len(RECIPES) == len(marks)
    assert all(any(mark in code for mark in marks) for code in RECIPES)


def test_the_readmes_code_runs(reader: Reader) -> None:
    with_deployment, alone, tables, totals = blocks(PAGES["README.md"], "python")
    assert "µm³" in reader.run([with_deployment])
    leaves = "l2_ids = CAVEclient('my_datastack').chunkedgraph.get_leaves(root_id, stop_layer=2)"
    opening = ["from caveclient import CAVEclient", leaves]
    alike = "print(with_pandas['size_nm3'].sum(), with_polars['size_nm3'].sum(), table['size_nm3'].sum())"
    same_length = "print(len(with_duckdb) == len(table) > 0)"
    is_alike = "print(total['size_nm3'] == neurons['size_nm3'][0] == table['size_nm3'].sum())"
    whole = [local(totals, reader), is_alike]
    printed = reader.run([*opening, local(alone, reader), local(tables, reader), alike, same_length, *whole])
    sums, same, volume, is_sum = printed.splitlines()
    assert volume.endswith("µm³, 0 L2 nodes missing")
    assert is_sum == "True"
    assert len(set(sums.split())) == 1
    assert same == "True"
