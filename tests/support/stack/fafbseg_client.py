"""What `fafbseg` measures of a neuron, as JSON: `python -m tests.support.stack.fafbseg_client DATASTACK ROOT < L2_IDS`.

A process of its own, because fafbseg finds the deployment and the token in the home folder alone.
"""

import json
import sys

import numpy as np
from fafbseg import flywire
from fafbseg.flywire import l2


def main() -> None:
    dataset, root = sys.argv[1], int(sys.argv[2])
    l2_ids = np.array(sys.stdin.read().split(), dtype=np.int64)
    info = flywire.get_l2_info(root, dataset=dataset, progress=False)
    chunks = l2.get_l2_chunk_info(l2_ids, dataset=dataset, progress=False)
    dotprops = flywire.get_l2_dotprops(root, dataset=dataset, progress=False)
    anchor = flywire.find_anchor_loc(root, dataset=dataset, progress=False)
    measured = {
        "l2_chunks": int(info.l2_chunks[0]),
        "missing": int(info.chunks_missing[0]),
        "size_um3": float(info.size_um3[0]),
        "chunk_sizes_nm3": chunks.size_nm3.tolist(),
        "points": len(dotprops[0].points),
        "anchor": anchor[["x", "y", "z"]].values[0].tolist(),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
