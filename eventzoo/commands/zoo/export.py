"""eventzoo export: write a model to a folder, with a page about it."""

from eventzoo.commands.zoo.publishing import parser_of


def run(args: list[str]) -> None:
    """Write a model to a folder.

    Raises:
        EventZooError: There is no such model or card, or the folder is not empty.
    """
    parser = parser_of("export", "Write a model and a page about it to a folder.", "eventzoo export aegnn-nmnist aegnn --half")
    parser.add_argument("folder", metavar="FOLDER", help="a new folder")
    given = parser.parse_args(args)
    from eventzoo.zoo.publishing import export  # imports torch

    folder = export(given.model, given.folder, given.half, given.card)
    print(f"{folder}: eventzoo.load('local-dir:{folder}')")
    for file in sorted(folder.iterdir()):
        print(f"  {file.name:<20}{file.stat().st_size:>12,} bytes")
