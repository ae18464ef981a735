"""The demonstration: two clusters on this machine, a sample shop, and a recovery between them.

`python -m examples.demo up` shows it, `env` says how a shell talks to clusters that were kept, `down` ends them.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import pyrage

from examples.clusters import FOLDER, ROOT, Keeper, NoDemo, environment, is_running, stop_clusters
from examples.terminal import StepFailed, Terminal
from tests.cluster.tools import CLUSTER_PROGRAMS, ToolMissing
from tests.cluster.tools.build import BuildFailed, build_missing

SHOP = "examples/shop"
RECIPIENT = re.compile(r"age1[0-9a-z]{58}")
REPOSITORY = os.path.relpath(FOLDER / "recovery.git", ROOT)


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command(help="Show it; end the clusters afterwards unless --keep is given.")
@click.option("--keep", is_flag=True, help="Leave the clusters running, to play with.")
def up(keep: bool) -> None:
    build_missing(CLUSTER_PROGRAMS)
    begun = time.monotonic()
    terminal = Terminal(ROOT, {**environment(), "PATH": f"{FOLDER / 'bin'}{os.pathsep}{os.environ['PATH']}"})
    terminal.heading(
        "Two clusters",
        "Real Kubernetes API servers on this machine, `source` and `dr`. They know nothing of each other: "
        "everything goes through a Git repository.",
    )
    with Keeper() as keeper:
        _prepare()
        terminal.say(f"Both are ready after {time.monotonic() - begun:.0f} s.")
        tell(terminal)
        seconds = time.monotonic() - begun
        if keep:
            keeper.keep()
    _end(terminal, seconds, keep=keep)


@main.command(help="End clusters that were kept, and remove what the demonstration made.")
def down() -> None:
    click.echo("the demonstration is over" if stop_clusters() else "no demonstration is running")


@main.command(help="Print what a shell needs to talk to clusters that were kept.")
def env() -> None:
    if not is_running():
        raise NoDemo("no demonstration is running; `make demo KEEP=1` starts one and leaves it running")
    for name, value in environment().items():
        click.echo(f"export {name}={shlex.quote(value)};")
    # No blank outside the quotes: `eval $(make demo-env)`, without quotes, must work too.
    click.echo(f'export PATH={shlex.quote(str(FOLDER / "bin"))}:"$PATH";')


def _prepare() -> None:
    """Put the configuration, a pair of age keys and an empty recovery repository into the demonstration's folder."""
    key = pyrage.x25519.Identity.generate()
    (FOLDER / "age.key").touch(mode=0o600)
    (FOLDER / "age.key").write_text(f"{key}\n")
    configuration = Path(__file__).with_name("demo.yaml").read_text()
    (FOLDER / "dr-syncer.yaml").write_text(RECIPIENT.sub(str(key.to_public()), configuration))
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", FOLDER / "recovery.git"], check=True)


def tell(terminal: Terminal) -> None:
    """Show the whole way of the shop from one cluster into the other."""
    _shop(terminal)
    _export(terminal)
    _import(terminal)
    _again(terminal)
    _change(terminal)
    _follow(terminal)
    _log(terminal)


def _shop(terminal: Terminal) -> None:
    terminal.heading("A shop in the source cluster", "Some of every common kind, custom resources and webhooks too.")
    apply = "kubectl --context source apply --server-side"
    terminal.run(f"{apply} -f {SHOP}/10-definitions.yaml", head=0)
    terminal.quietly("kubectl --context source wait --for=condition=Established crd --all")
    terminal.run(f"{apply} -f {SHOP}", head=2, warnings=False)
    # What the DR site has of its own, and what the source's controllers still add.
    terminal.quietly("kubectl --context dr apply --server-side -f examples/dr-site.yaml")
    terminal.quietly("kubectl --context source -n shop-data wait --for=create pvc/data-database-1")
    terminal.quietly("kubectl --context source -n shop wait --for=jsonpath={.status.phase}=Bound pvc/media")


def _export(terminal: Terminal) -> None:
    terminal.heading(
        "Export",
        "One commit holds all that a recovery needs, without what the cluster made by itself. Secrets are in it "
        "encrypted, in the format of SOPS: only the DR side has the key.",
    )
    terminal.run("dr-syncer export", head=5, tail=1)
    terminal.run(f"git -C {REPOSITORY} show --stat=76 --stat-graph-width=6 --format=%s main -- namespaces/shop-data")
    terminal.run(
        f"git -C {REPOSITORY} show main:namespaces/shop/services/partners.yaml",
        because="the ports that a person chose, no clusterIP",
    )
    values = shlex.quote('^ +[a-z-]+: "ENC.{32}')
    terminal.run(
        f"git -C {REPOSITORY} grep -ohE {values} main -- namespaces/shop/secrets/payment.yaml",
        because="of a Secret, names can be read; values cannot",
    )


def _import(terminal: Terminal) -> None:
    terminal.heading(
        "Import, in standby",
        "The DR cluster gets the same objects, asleep: replicas 0, CronJobs suspended. "
        "Webhooks are held until their backend answers: without it they would refuse writes.",
    )
    terminal.run("dr-syncer import", head=4, tail=3)
    terminal.run("kubectl --context dr -n shop get deployments", because="maintenance-page is marked to stay awake")


def _again(terminal: Terminal) -> None:
    terminal.heading("Once more", "Nothing has changed: no commit, and not a single write in the DR cluster.")
    terminal.run("dr-syncer export")
    terminal.run("dr-syncer import", head=1, tail=1)


def _change(terminal: Terminal) -> None:
    terminal.heading("Life goes on", "Somebody works in the source, and somebody else where nobody should.")
    source = "kubectl --context source -n shop"
    terminal.run(f"{source} set image deployment/cart cart=registry.example.com/shop/cart:2.1.0")
    terminal.run(f"{source} scale deployment/cart --replicas=5")
    terminal.run(f"{source} delete configmap/banner")
    terminal.run("kubectl --context dr -n shop scale deployment/admission --replicas=2", because="in DR!")


def _follow(terminal: Terminal) -> None:
    terminal.heading("Export, compare, import", "Exactly that travels; what was changed in DR is put back, and said.")
    terminal.run("dr-syncer export")
    terminal.run("dr-syncer diff", codes=(1,), because="- what DR has, + what the import makes of it")
    terminal.run("dr-syncer import", head=5, tail=1)


def _log(terminal: Terminal) -> None:
    terminal.heading("Who did what, and when?", "Every commit names the hands behind each change.")
    terminal.run("dr-syncer log --limit 1")
    terminal.run("dr-syncer log --object shop/deployments.apps/cart")


def _end(terminal: Terminal, seconds: float, *, keep: bool) -> None:
    click.echo()
    if keep:
        terminal.say(f"Done in {seconds:.0f} s. The clusters go on; to play with them:")
        for line in (
            "eval $(make demo-env)",
            "kubectl --context dr -n shop get all",
            "dr-syncer diff",
            "make demo-down",
        ):
            click.echo(f"  {line}")
    else:
        terminal.say(f"Done in {seconds:.0f} s; both clusters are stopped. `make demo KEEP=1` leaves them running.")


if __name__ == "__main__":
    try:
        main.main(prog_name="python -m examples.demo", standalone_mode=False)
    except (NoDemo, StepFailed, ToolMissing, BuildFailed) as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ndemo: interrupted; the clusters are stopped", err=True)
        sys.exit(130)
