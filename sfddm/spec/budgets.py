"""Budgets: a row that is to be trained at several lengths becomes several rows, as a spec is read.

The row itself is trained at the largest multiple, so that whatever names it (a claim, a measurement, ``student_of``)
means the longest training. For each smaller multiple k there is a row NAME.xk. All of these are ordinary rows, each
with trainings of its own from random numbers of its own; what a training computes with does not depend on the other
budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sfddm.methods.options import Budgets, MethodOptions, TrainingOptions
from sfddm.runtime.errors import SfddmError


def at_each_budget(
    rows: Mapping[str, MethodOptions],
    budgets: Budgets | None,
    students: TrainingOptions,
    trains: Callable[[MethodOptions], bool],
) -> dict[str, MethodOptions]:
    """Return the rows, each with budgets followed by one for each smaller budget, the smallest first.

    Rows that come from budgets already, as a spec that was written out has them, stay as they are.

    Args:
        rows: the options of each row, by its name.
        budgets: of every trained row that states none of its own.
        students: how rows are trained that do not say so.
        trains: whether a row with these options has a training of its own.

    Raises:
        SfddmError: a row that trains nothing has budgets of its own, a name is there already, or a row's ``budget`` or
            ``budget_of`` fits no other row.
    """
    found: dict[str, MethodOptions] = {}
    for name, options in rows.items():
        multiples = _budgets_of(name, options, rows, budgets, trains)
        if multiples == (1.0,):
            found[name] = options
            continue
        found[name] = _at(name, options, multiples[-1], students)
        for multiple in multiples[:-1]:
            smaller = f"{name}.x{multiple:g}"
            if smaller in rows or smaller in found:
                raise SfddmError(f"{name}: budgets: the row {smaller} is there already; give it another name")
            found[smaller] = _at(name, options, multiple, students)
    return found


def _budgets_of(
    name: str,
    options: MethodOptions,
    rows: Mapping[str, MethodOptions],
    budgets: Budgets | None,
    trains: Callable[[MethodOptions], bool],
) -> Budgets:
    """Return the multiples at which a row is to be trained, increasing; (1,) where it is to stay as it is."""
    if options.budget_of is not None or options.budget != 1:
        _check_expanded(name, options, rows)
        return (1.0,)
    wanted = options.budgets or budgets
    if wanted is None:
        return (1.0,)
    try:
        trained = trains(options)
    except SfddmError as error:
        raise SfddmError(f"{name}: {error}") from None
    if not trained and options.budgets:
        raise SfddmError(f"{name}: budgets: nothing is trained in this row; leave it out")
    return wanted if trained else (1.0,)


def _check_expanded(name: str, options: MethodOptions, rows: Mapping[str, MethodOptions]) -> None:
    if options.budgets is not None:
        raise SfddmError(f"{name}: budgets: give them without budget and budget_of, which are filled in for them")
    largest = rows.get(options.budget_of or "")
    if largest is None or (largest.budget_of, largest.method) != (options.budget_of, options.method):
        raise SfddmError(
            f"{name}: budget_of: must name a row of the same method whose own budget_of is its name; "
            f"got {options.budget_of!r}; give budgets, which fill it in"
        )
    if options.budget_of != name and options.budget >= largest.budget:
        raise SfddmError(
            f"{name}: budget: must be less than that of {options.budget_of}, {largest.budget:g}; got {options.budget:g}"
        )


def _at(name: str, options: MethodOptions, multiple: float, students: TrainingOptions) -> MethodOptions:
    """Return a row's options with all of its trainings ``multiple`` times as long."""
    lengths = {key: _longer(value, multiple) for key, value in options if isinstance(value, TrainingOptions)}
    if options.training is None and multiple != 1:
        lengths["training"] = _longer(students, multiple)
    return options.model_copy(update=lengths | {"budgets": None, "budget": multiple, "budget_of": name})


def _longer(training: TrainingOptions, multiple: float) -> TrainingOptions:
    """Return a training whose images or epochs are multiplied; its schedule of learning rates stretches with them."""
    images = None if training.images is None else max(1, round(training.images * multiple))
    epochs = None if training.epochs is None else training.epochs * multiple
    return training.model_copy(update={"images": images, "epochs": epochs})
