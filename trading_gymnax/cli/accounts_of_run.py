"""The command `accounts` with the folder of a run: which account suits its policy, if any."""

from __future__ import annotations

import json
import pathlib
import warnings

import jax

from trading_gymnax.accounts.plans import plans
from trading_gymnax.cli.accounts import Accounts, chosen
from trading_gymnax.cli.looks import looking
from trading_gymnax.cli.progress import told
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.report.accounts_picture import accounts_picture
from trading_gymnax.report.write import trainer_settings
from trading_gymnax.runs import build, check_files, read_settings
from trading_gymnax.survival import Bankroll, lifetime_value
from trading_gymnax.survival.tape import acts_on_account
from trading_gymnax.survival.value import sizes_of
from trading_gymnax.text import plain

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import load_policy

_COMMON = "-50k"
_SEED = 1


def accounts(command: Accounts) -> None:
    """Judge the policy of a run on every account that was named, and draw it."""
    run_dir = pathlib.Path(command.what[0])
    settings = read_settings(run_dir)
    check_files(settings)
    asked = chosen(command.names) or [
        plan for name, plan in plans().items() if name.endswith(_COMMON) and not plan.note
    ]
    split = build(settings)
    params, policy = split.test_params, load_policy(run_dir, checkpoint=command.checkpoint)
    bankroll = None if command.bankroll is None else Bankroll(command.bankroll, command.accounts_bought)
    sizes = command.contracts or (None if acts_on_account(split.env) else sizes_of(params))
    key, walk_key = jax.random.split(jax.random.key(_SEED))
    with told("accounts") as tell:
        found = lifetime_value(
            *(policy, params.market, asked),
            key=key,
            env=split.env,
            params=params,
            contracts=sizes,
            sessions=command.sessions,
            paths=command.lives,
            bankroll=bankroll,
            progress=tell,
        )
    look = looking(
        *("accounts", run_dir, settings, [params.market], command.configurations_tried),
        config=trainer_settings(run_dir),
        checkpoint=command.checkpoint,
    )
    taken = look.taken(evaluate_policy(policy, split.env, params, key=walk_key).sessions)
    folder = run_dir if command.out is None else command.out
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "accounts.png"
    accounts_picture(found).savefig(picture)
    rows = [plain(row) for row in found.table().to_dict("records")]
    values = {"note": split.note, "verdict": found.verdict, "notes": found.notes, "rows": rows}
    (folder / "accounts.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")
    print(f"{split.note}\n\n{found}\n{taken}\n\n{picture} shows it; the statistics lie beside it")
