"""What the commands that publish a model share."""

import argparse


def parser_of(command: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with the model, its card and precision, as both commands take them."""
    parser = argparse.ArgumentParser(f"eventzoo {command}", description=description, epilog=f"example: {example}", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="what eventzoo.load takes: local-dir:FOLDER for a saved model, or a card's name")
    parser.add_argument("--card", metavar="FILE", help="a model card (YAML) with what is known of a model that is none of the zoo")
    parser.add_argument("--half", action="store_true", help="store weights as float16, in half the space; they are float32 when loaded")
    return parser
