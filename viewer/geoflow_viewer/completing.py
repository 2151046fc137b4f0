"""The solid of an opened cloud, and the points that it was made of, together in one item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.geometry.read_points import Cloud
from geoflow.models.completion import Given, hypotheses, prepare
from geoflow.models.kinds import KINDS
from geoflow.models.meshes import FieldGenerator
from geoflow_viewer.items import Item, Rung
from geoflow_viewer.kinds.source import Source
from geoflow_viewer.measure import measure
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket


@dataclass(frozen=True)
class Completed:
    """Points as a model sees them, and the latent of one answer; all rungs have them in common."""

    model: FieldGenerator
    given: Given
    tokens: Float[Tensor, "k c"]

    def item(self, part: State, rung: Rung, ticket: Ticket) -> Item:
        """The answer's surface in the cloud's units, with the points; a message if none."""
        place = self.given.place
        # A mirrored state gives the points' mirror images too, after them.
        own = self.given.points[0].double().cpu().numpy()
        own = own[: len(own) // 2] if part.mirrored else own
        points = place.scale * (own @ place.turn) + place.centre
        cloud = points.astype(np.float32)
        try:
            mesh = self.model.decode(
                self.tokens,
                through=self.given.surface(self.model),
                whole=False,
                resolution=rung.resolution,
                mirror=part.mirrored,
                check=ticket.check,
            )
        except EmptySurfaceError as error:
            return Item("", part, cloud=cloud, message=str(error))
        mesh = place.restore(mesh)
        return Item("", part, mesh=mesh, cloud=cloud, measures=measure(mesh))


def complete_cloud(source: Source, part: State, cloud: Cloud, ticket: Ticket) -> Completed:
    """The answer to a cloud's points that a state asks for, as `geoflow complete` finds it.

    Raises:
        ValueError: for a model that makes no solids, one that needs normals without them, or one
            without a flow where another answer than the first is wanted.
    """
    if not KINDS[source.kind].has_solids:
        raise ValueError(
            f"{part.model} makes no solids of points: choose a model of meshes, such as shapes"
        )
    model: FieldGenerator = source.model
    given = prepare(
        model, cloud.points, cloud.normals, most=part.given, mirror=part.mirrored, seed=part.seed
    )
    ticket.check()
    answers = hypotheses(
        model,
        given,
        part.answer + 1,
        steps=part.steps,
        refine=0,
        spread=None,
        category=part.category,
        seed=part.seed,
    )
    ticket.check()
    return Completed(model, given, answers.tokens[part.answer])
