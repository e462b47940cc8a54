"""The rules about what DSP0243 itself asks of sections, hardware and properties."""

from __future__ import annotations

from typing import Final

from regild.ovf.lint import standard
from regild.ovf.lint.rule import EVERY, Rule

STANDARD_RULES: Final = (
    Rule(
        "section-place",
        EVERY,
        "a section stands where the standard does not have it",
        "consumers look for it elsewhere and do without what it says, or refuse the package",
        "move it to where DSP0243 9 puts it",
        standard.sections_stand_in_place,
    ),
    Rule(
        "system-info",
        EVERY,
        "a virtual system does not begin with Info",
        "the schema asks for it",
        "write an Info that says what the system is for",
        standard.systems_are_explained,
    ),
    Rule(
        "item-incomplete",
        EVERY,
        "an Item has no InstanceID or no ResourceType",
        "nothing tells what to build, and no other Item can name it as its parent",
        "give it both",
        standard.items_are_whole,
    ),
    Rule(
        "item-twice",
        EVERY,
        "two Items of one hardware have one InstanceID",
        "which of them is a disk's controller is up to each consumer",
        "give each an InstanceID of its own",
        standard.items_differ,
    ),
    Rule(
        "item-number",
        EVERY,
        "a quantity of an Item is no number",
        "importers size the machine by it",
        "write a whole number",
        standard.items_hold_numbers,
    ),
    Rule(
        "item-element",
        EVERY,
        "an Item holds an element that the resource schema does not have",
        "strict readers refuse it, the others do without",
        "take it out, or move it to a namespace of its own",
        standard.items_hold_known_words,
    ),
    Rule(
        "network-unlisted",
        EVERY,
        "hardware is connected to a network that the NetworkSection does not list",
        "DSP0243 9.2 asks for it; importers cannot map the adapter",
        "list the network",
        standard.networks_are_listed,
    ),
    Rule(
        "product-twice",
        EVERY,
        "two product sections have one class and instance",
        "their properties cannot be told apart",
        "give each its own class or instance",
        standard.products_differ,
    ),
    Rule(
        "property-key",
        EVERY,
        "a Property has no key, or another's",
        "nothing can set it, or both are set",
        "give each a key of its own",
        standard.properties_have_keys,
    ),
    Rule(
        "property-type",
        EVERY,
        "a Property has no type that is known",
        "importers cannot ask for its value",
        "choose one of DSP0243 1.1, table 7, such as string",
        standard.properties_have_types,
    ),
    Rule(
        "size-number",
        EVERY,
        "a size of a File is no number",
        "importers reserve room and follow progress by it",
        "state the number of bytes",
        standard.sizes_are_numbers,
    ),
)
"""In the order in which they are tried and told."""
