"""Sofas: straight or cornered, with arms, cushions, back, and feet or a plinth.

Lengths are metres before normalisation; +Y up, the sitter looks along +Z.
"""

from __future__ import annotations

import numpy as np

from geoflow.geometry.sdf import RoundCone, Solid
from geoflow_datasets.procedural.parts import box, turn_x


def sofa(rng: np.random.Generator) -> list[Solid]:
    """One random sofa."""
    seats = int(rng.integers(1, 4))
    each = rng.uniform(0.55, 0.7)
    width, depth = seats * each, rng.uniform(0.75, 0.95)
    lift = rng.uniform(0.08, 0.16) if rng.random() < 0.7 else 0.0
    base = lift + rng.uniform(0.14, 0.22)
    cushion, back = rng.uniform(0.12, 0.18), rng.uniform(0.3, 0.45)
    arm, rest = rng.uniform(0.08, 0.14), rng.uniform(0.14, 0.26)
    solids: list[Solid] = [
        box([0, (lift + base) / 2, 0], [width / 2 + arm, (base - lift) / 2, depth / 2], 0.03)
    ]
    soft = rng.uniform(0.03, 0.065)
    thick = rng.uniform(0.1, 0.16)
    lean = turn_x(-rng.uniform(0.0, 0.2))
    # Cushions meet: no surface hides in a gap that no scan reaches and no field resolves.
    for i in range(seats):
        x = (i - (seats - 1) / 2) * each
        y = base + cushion / 2 - 0.01
        solids.append(box([x, y, 0.04], [each / 2 + 0.004, cushion / 2, depth / 2 - 0.05], soft))
        height = back / 2 + 0.03
        hinge = [x, base + cushion + height - 0.06, -depth / 2 + thick * 1.3]
        solids.append(box(hinge, [each / 2 + 0.004, height, thick / 2], soft, lean))
    top = base + cushion + back * rng.uniform(0.75, 1.0)
    size = [width / 2 + arm, (top - lift) / 2, thick / 2]
    solids.append(box([0, (top + lift) / 2, -depth / 2 + thick / 2], size, 0.035))
    # Cores behind the cushions and in their backs, which would enclose empty pockets otherwise.
    _, down, behind = lean @ [0.0, 0.0, 0.2 * thick]
    rear = [0.0, hinge[1] - down, hinge[2] - behind]
    solids.append(box(rear, [width / 2 - soft, height - 0.01, 0.3 * thick], 0.01, lean))
    core = [width / 2, (top - base) / 2 - 0.03, thick * 0.8]
    solids.append(box([0, (base + top) / 2 - 0.03, -depth / 2 + thick * 0.8], core, 0.02))
    if rng.random() < 0.85:
        tall = (base + cushion + rest - lift) / 2
        # And one that ends inside the arms.
        low = [width / 2 + arm / 2, (cushion + rest) / 2 - 0.01, thick * 0.8]
        solids.append(box([0, base + low[1], -depth / 2 + thick * 0.8], low, 0.01))
        for side in (-1, 1):
            x = side * (width / 2 + arm / 2)
            solids.append(box([x, lift + tall, 0], [arm / 2, tall, depth / 2], arm * 0.4))
    if seats == 3 and rng.random() < 0.3:  # A corner that comes forward.
        side = rng.choice([-1, 1])
        x = side * (width / 2 - each / 2)
        far = rng.uniform(0.5, 0.75)
        z = depth / 2 + far / 2 - 0.03
        solids.append(box([x, (lift + base) / 2, z], [each / 2, (base - lift) / 2, far / 2], 0.03))
        y = base + cushion / 2 - 0.01
        solids.append(box([x, y, z - 0.02], [each / 2 - 0.01, cushion / 2, far / 2], soft))
    if lift:
        leg = rng.uniform(0.025, 0.035)
        for sx in (-1, 1):
            for sz in (-1, 1):
                x, z = sx * (width / 2 + arm - 0.07), sz * (depth / 2 - 0.07)
                solids.append(
                    RoundCone(np.array([x, lift + 0.01, z]), np.array([x, leg, z]), leg * 1.2, leg)
                )
    return solids
