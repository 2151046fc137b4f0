"""What generators of meshes are: noise to latent tokens to a signed-distance field to a mesh."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.backbones.field_codec import SurfacePoints
from geoflow.backbones.folded import in_blocks
from geoflow.backbones.shape_encoder import Box
from geoflow.geometry.box import in_cube
from geoflow.geometry.extraction import EmptySurfaceError, Field, extract_mesh
from geoflow.geometry.mesh import remove_crumbs, simplify_mesh, summarise
from geoflow.geometry.simplification import simplify_within
from geoflow.models.fast_matmul import fast_matmul
from geoflow.models.in_flight import in_order
from geoflow.models.latent import Check, Detail, LatentGenerator
from geoflow.models.refinement import FEWEST_SIGNED, outward_normals, refine_tokens
from geoflow.models.rereading import left_of_field

# Memory of the grids of meshes in flight, and about what one takes for each of its points.
_LARGEST_GRIDS, _POINT_BYTES = 2 * 1024**3, 20
# Levels of the field at which parts are one, by default: of the latent alone, and beside points,
# which tell what is apart (chosen on validation shapes; docs/shapes.md).
_JOIN, _JOIN_THROUGH = 0.05, 0.01


@dataclass
class FieldGenerator(LatentGenerator[Any]):
    """What generators of meshes have in common: their autoencoders decode signed distances."""

    def encode_points(
        self, points: Float[Tensor, "b n 3"], normals: Float[Tensor, "b n 3"] | None
    ) -> Float[Tensor, "b k c"]:
        """Latents of upright surfaces.

        Raises:
            ValueError: without normals.
        """
        return self.autoencoder.encode(points, normals, self.frame_for(len(points)))

    def encode_mesh_points(
        self, points: Float[Tensor, "b n 3"], normals: Float[Tensor, "b n 3"]
    ) -> Float[Tensor, "b k c"]:
        """Latents of points of meshes, read again twice: clean points gain by the second, too."""
        tokens: Tensor = self.encode(points, normals, recycle=2)
        return tokens

    @property
    def reads_bare_points(self) -> bool:
        """Whether the encoder was trained without normals, and with unoriented ones."""
        return bool(self.config.reads_bare_points)

    @property
    def mends(self) -> bool:
        """Whether its fields may go `through` points of their surfaces."""
        return bool(self.autoencoder.mends)

    def box(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        *,
        oriented: bool = True,
    ) -> Box | None:
        """Box of the surfaces that upright points are of; None where a model tells none."""
        return None

    @torch.no_grad()
    def encode(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        *,
        oriented: bool = True,
        frame: Float[Tensor, "b 3 3"] | None = None,
        recycle: int = 0,
        refine: int = 0,
        scanned: bool = False,
    ) -> Float[Tensor, "b k c"]:
        """Latents of surfaces that are known by points.

        Args:
            points: centred, the longest half extent about 1.
            normals: of unit length; None: not known.
            oriented: whether the normals point outward; else either way.
            frame: where the shapes stand; default: upright.
            recycle: times that points are read again, as the answer so far says (Jumper et al.,
                "AlphaFold", 2021, feed answers back likewise): those without outward normals with
                the normals of its field, unoriented ones turned as they point; those with, moved
                along them by what is left of its field there (see `rereading`).
            refine: steps of gradient descent that fit the latents to the points.
            scanned: whether the points are as scans have them, noisy or few, for models that have
                an encoder of those; without outward normals they always are.

        Raises:
            ValueError: without oriented normals, for a model that needs them; for a negative number
                of times or steps; for points with outward normals that are to be read again and
                are not finite.
        """
        if recycle < 0:
            raise ValueError(f"recycle must be at least 0, got {recycle}")
        if not (self.reads_bare_points or (normals is not None and oriented)):
            raise ValueError(
                "this model's encoder was trained with outward normals alone: give normals, or "
                "take a model of bare points"
            )
        placed = self.frame_for(len(points), frame)
        tokens = self._encode(points, normals, oriented, placed, scanned)
        fitted = normals if oriented else None
        shown = points
        for times in range(1, recycle + 1):
            if fitted is None:
                own = outward_normals(self.autoencoder, tokens, points, normals, placed)
                tokens = self._encode(points, own, True, placed, True)
            else:
                left = left_of_field(self.autoencoder, tokens, points, fitted, placed)
                # Less each time: what is left late is what no latent says.
                shown = shown + left[..., None] / times**0.5 * fitted
                tokens = self._encode(shown, fitted, True, placed, scanned)
        if refine and fitted is None and points.shape[1] >= FEWEST_SIGNED:
            fitted = outward_normals(self.autoencoder, tokens, points, normals, placed)
        return refine_tokens(self.autoencoder, tokens, points, fitted, placed, steps=refine)

    def _encode(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        oriented: bool,
        frame: Float[Tensor, "b m 3"] | None,
        scanned: bool,
    ) -> Float[Tensor, "b k c"]:
        return self.autoencoder.encode(points, normals, frame)

    @torch.no_grad()
    def field(
        self,
        tokens: Float[Tensor, "k c"],
        *,
        frame: Float[Tensor, "m 3"] | None = None,
        through: SurfacePoints | None = None,
        whole: bool = True,
        check: Check | None = None,
    ) -> Field:
        """Signed distance of one shape, as a function of points (n, 3).

        Args:
            tokens: the latent.
            frame: where the shape stands; default: upright.
            through: points of its surface, a batch of one, beside which the field is mended.
            whole: the shape is a normalised one, which ends at the cube of half edge 1 along the
                three vectors of its frame; false for what points of a part of it say, beyond whose
                box it may go on. Without three vectors nothing is known of its box.
            check: called before every chunk of points; what it raises ends the work.

        Raises:
            ValueError: for points, where the model did not learn to mend fields.
        """
        placed = self.frame_for(1, None if frame is None else frame[None])
        context = self.autoencoder.context(tokens[None], placed)
        if through is not None:
            context = self.autoencoder.through(context, through)
        query = self.autoencoder.decoder.folded(context)

        device = self.device

        def block(points: Tensor) -> Tensor:
            if check is not None:
                check()
            return query(points.to(device))

        @torch.no_grad()
        def distance(points: Tensor) -> Tensor:
            with fast_matmul():
                return in_blocks(block, points)

        if whole and placed is not None and placed.shape[1] == 3:
            return in_cube(distance, placed[0])
        return distance

    def decode(
        self,
        tokens: Float[Tensor, "k c"],
        *,
        resolution: int = 128,
        frame: Float[Tensor, "m 3"] | None = None,
        through: SurfacePoints | None = None,
        whole: bool = True,
        dense: bool = False,
        crumbs: float = 0.01,
        join: float | None = None,
        mirror: bool = False,
        faces: int | None = None,
        within: float | None = None,
        check: Check | None = None,
    ) -> trimesh.Trimesh:
        """Mesh of one latent; its `metadata` has field_queries, and joined, the number of places.

        Args:
            tokens: the latent.
            resolution: cells of the extraction grid along an edge.
            frame: where the shape stands; default: upright.
            through: points of its surface, a batch of one, beside which the field is mended.
            whole: as for `field`.
            dense: evaluate the field on the whole grid.
            crumbs: components of less than this share of the volume are removed.
            join: parts that would be one if the field were less by this are joined; 0: none.
                Default: 0.05, and 0.01 where the field goes through points.
            mirror: average the field over its mirror image, left and right of upright shapes; the
                mesh is exactly symmetric.
            faces: most triangles; default: any number.
            within: share of the largest extent by which the surface may move for fewer triangles;
                default: none is taken away.
            check: called before every chunk of queries; what it raises ends the work.

        Raises:
            EmptySurfaceError: if the latent's field has no surface.
            ValueError: for the mirror image in a frame that is not upright, or with fewer
                triangles, which would not lie opposite each other; for fewer faces than a closed
                mesh can have; for points, where the model did not learn to mend fields.
        """
        if mirror and frame is not None:
            raise ValueError("mirror needs the upright frame: turn the mesh afterwards")
        if mirror and (faces is not None or within is not None):
            raise ValueError("a mirrored mesh keeps all its faces, or it would not be symmetric")
        extraction = extract_mesh(
            self.field(tokens, frame=frame, through=through, whole=whole, check=check),
            resolution=resolution,
            method="dense" if dense else "followed",
            mirrored=mirror,
            join=(_JOIN if through is None else _JOIN_THROUGH) if join is None else join,
        )
        mesh = remove_crumbs(extraction.mesh, crumbs)
        if within is not None:
            mesh = simplify_within(mesh, within)
        if faces is not None:
            mesh = simplify_mesh(mesh, faces)
        mesh.metadata["field_queries"] = extraction.field_queries
        mesh.metadata["joined"] = extraction.joined
        return mesh

    def shapes(
        self,
        tokens: Float[Tensor, "b k c"],
        detail: Detail = Detail(),  # noqa: B008
        *,
        steps: int = 2,
        seed: int = 0,
        first: int = 0,
        ode: bool = False,
    ) -> list[trimesh.Trimesh | None]:
        """Meshes of latents; None where an untrained field has no surface."""
        return [self._decode_or_none(latent, detail) for latent in tokens]

    def _decode_or_none(
        self, latent: Float[Tensor, "k c"], detail: Detail
    ) -> trimesh.Trimesh | None:
        try:
            return self.decode(latent, resolution=detail.resolution, join=detail.join)
        except EmptySurfaceError:
            return None

    def sample(
        self,
        *,
        num: int = 1,
        steps: int = 2,
        seed: int = 0,
        resolution: int = 128,
        faces: int | None = None,
        within: float | None = None,
        join: float | None = None,
        category: str | None = None,
        guidance: float | None = None,
        frame: Float[Tensor, "m 3"] | None = None,
    ) -> list[trimesh.Trimesh]:
        """Meshes; each one's `metadata` has seed, index, nfe, seconds, summary, and `decode`'s.

        A seed gives the same shapes in every frame, turned along with it. `faces` are the most
        triangles of a mesh; `within` is the share of its largest extent by which the surface may
        move for fewer. By default none is taken away. `join` is as for `decode`.
        """
        return list(
            self.iterate(
                num=num,
                steps=steps,
                seed=seed,
                resolution=resolution,
                faces=faces,
                within=within,
                join=join,
                category=category,
                guidance=guidance,
                frame=frame,
            )
        )

    def iterate(
        self,
        *,
        num: int = 1,
        steps: int = 2,
        seed: int = 0,
        resolution: int = 128,
        faces: int | None = None,
        within: float | None = None,
        join: float | None = None,
        category: str | None = None,
        guidance: float | None = None,
        frame: Float[Tensor, "m 3"] | None = None,
    ) -> Iterator[trimesh.Trimesh]:
        """As `sample`, one mesh at a time; on a CPU of several cores the next are in flight.

        Raises:
            ValueError: for num < 1 or any option out of range.
        """
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        placed = None if frame is None else frame[None]
        cond = self.condition(1, category=category, guidance=guidance, frame=placed)

        def make(i: int, check: Check) -> trimesh.Trimesh:
            start = time.perf_counter()
            noise = self.noise(1, seed=seed, first=i, frame=placed)
            tokens = self.sample_latents(noise, cond, steps=steps)[0]
            mesh = self.decode(
                tokens,
                resolution=resolution,
                frame=frame,
                faces=faces,
                within=within,
                join=join,
                check=check,
            )
            seconds = time.perf_counter() - start
            mesh.metadata.update(seed=seed, index=i, nfe=steps, seconds=seconds)
            mesh.metadata["summary"] = asdict(summarise(mesh))
            return mesh

        yield from in_order(make, num, workers=self._workers(num, resolution))

    def _workers(self, num: int, resolution: int) -> int:
        """Meshes in flight: as many as threads of torch, while their grids fit."""
        if self.device.type != "cpu":
            return 1
        fit = _LARGEST_GRIDS // (_POINT_BYTES * (resolution + 1) ** 3)
        return max(1, min(num, torch.get_num_threads(), fit))
