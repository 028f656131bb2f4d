"""eventzoo push: publish a model on the Hugging Face Hub."""

import yaml

from eventzoo.commands.zoo.publishing import parser_of


def run(args: list[str]) -> None:
    """Publish a model, and print how it is loaded and what its card says then.

    Raises:
        EventZooError: There is no such model or card, no login or network, or the Hub refuses.
    """
    example = "eventzoo push local-dir:runs/aegnn_shapes/version_0/model ORGANISATION/NAME"
    parser = parser_of("push", "Publish a model and a page about it on the Hugging Face Hub, in one commit.", example)
    parser.add_argument("repository", metavar="ORGANISATION/NAME", help="where to; it is made if it is not there")
    parser.add_argument("--revision", default="main", metavar="BRANCH", help="the branch, which is made if it is not there; default: main")
    parser.add_argument("--private", action="store_true", help="a repository that nobody else sees")
    parser.add_argument("--message", help="of the commit")
    given = parser.parse_args(args)
    from eventzoo.zoo.publishing import push  # imports torch

    weights = push(given.model, given.repository, given.revision, given.private, given.message, given.card, given.half)
    print(f'eventzoo.load("hf-hub:{given.repository}@{weights["hub"]["revision"]}")\n\nfor a model card:\n')
    print(yaml.safe_dump({"weights": weights}, sort_keys=False, allow_unicode=True, width=200), end="")
