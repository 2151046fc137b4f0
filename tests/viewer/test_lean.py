"""What the viewer keeps of a shape is the shape."""

from geoflow_viewer.generation import generate
from geoflow_viewer.items import Rung
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket


def test_nothing_that_was_worked_out_of_a_mesh_is_kept(models):
    state, rung = State(model="tiny", seed=3), Rung(16, 64)
    (result,) = generate(state, models, {}, Ticket(), rungs=(rung,))
    (item,) = result.items
    assert item.mesh is not None
    assert len(item.mesh._cache) == 0
    assert models.shelf.get(state, rung).mesh is item.mesh
    # The twin: what is asked of a mesh stays with it.
    assert item.mesh.is_watertight
    assert len(item.mesh._cache) > 0
