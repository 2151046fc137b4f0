"""Which category a catalogue's model belongs to, by the words of its name."""

from __future__ import annotations

import re

OTHER = "thing"
"""The category of what no word tells."""

# The first category one of whose words is in a name is taken: of "coffee table" the table.
_WORDS = {
    OTHER: "cup cake, hot dog, dog house, doll house, clothes horse, table fan, tennis bat, "
    "roasted chicken, fork lift, conditioning",
    "car": "car, sedan, van, truck, bus, suv, chevrolet, peugeot, renault, ford, seat leon, "
    "smart car, beetle",
    "cycle": "bike, bicycle, motorbike, scooter, tricycle, yamaha, stroller",
    "window": "window, blind, shutter, curtain",
    "cabinet": "cabinet, cupboard, wardrobe, dresser, chest, drawers, locker, safe, trunck",
    "door": "door",
    "plant": "plant, tree, pine, bamboo, cactus, bush, hedge, ficus, yucca, orchids, tulips, lily, "
    "flowers, cypress, poplar, maple, beech, acacia, spathiphyllum, blossom",
    "lamp": "lamp, lamppost, light, lights, chandelier, lantern, spotlight, fluorescent, "
    "flashlight, candle",
    "person": "male, female, boy, girl, mannequin, doll, snowman",
    "animal": "dog, bulldog, cat, rabbit, horse, deer, chicken, bear",
    "bathroom": "bath, bathtub, washbasin, basin, bidet, toilets, urinal, sink, lavatory, jacuzzi, "
    "shower, vanity, potty",
    "sofa": "sofa, couch, futon, puff, ottoman",
    "chair": "chair, armchair, stool, seat, wheelchair",
    "bench": "bench",
    "bed": "bed, crib, hammock, mattress",
    "table": "table, desk, workbench, island",
    "shelf": "shelves, bookcase, rack",
    "bottle": "bottle, jar, flacon, milk, shaker",
    "vessel": "cup, mug, glass, bowl, vase, pot, teapot, creamer, pottery, pan, basket, barrel, "
    "trashcan, dustbin, recycling bin",
    "appliance": "fridge, refrigerator, freezer, oven, microwave, cooker, cooktop, stove, washing, "
    "dryer, furnace, boiler, heater, hood, radiator, blender, mixer, toaster, fryer, coffee, "
    "squeezer, fireplace, chimney, espresso",
    "device": "tv, laptop, phone, imac, ibook, iphone, tablet, screen, keyboard, dvd, radio, "
    "stereo, speaker, playstation, projector, printer, camera, mp3, watch, clock, calendar, "
    "intercom, cctv",
    "socket": "socket, switch, plug",
    "clothes": "dress, skirt, trousers, short, suit, jacket, hat, cap, glove, bootie, sneakers, "
    "slippers, shoes, mocassin, clothes, helmet",
    "tool": "tool, tools, hammer, saw, drill, screwdriver, pliers, shovel, grinder, knife, fork, "
    "spoon, scissors, broom, brush, comb, mower, stapler",
}
_PATTERNS = {
    category: re.compile(rf"\b(?:{'|'.join(words.split(', '))})\b", re.IGNORECASE)
    for category, words in _WORDS.items()
}


def class_of(name: str) -> str:
    """The category of a model by its name."""
    return next((c for c, pattern in _PATTERNS.items() if pattern.search(name)), OTHER)
