"""The compiled function of a plan: Python source that calls the steps in order, compiled by numba as one.

A call from Python to a compiled function costs as much as an event, and hands over a few arrays in as much time as a layer takes.
So there is one function for the whole network, and its arrays are handed over as one table of their addresses and shapes. The
source is kept in a file, named by a hash of all that it is made of, because numba keeps compiled code for files only.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj
from numpy.typing import NDArray

import eventzoo
from eventzoo.asynchronous.plan import Call, Plan, RowLoop
from eventzoo.errors import EventZooError
from eventzoo.kernels.asynchronous import sites


@intrinsic
def array_at(context: Any, address: Any, shape: Any, dtype: Any) -> Any:  # noqa: ARG001  # numba's signature
    """The array at an address, in C order: what `numba.carray` gives, which takes many times longer to compile."""
    made = types.Array(dtype.dtype, len(shape), "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        array = arrayobj.make_array(made)(context, builder)
        sides = cgutils.unpack_tuple(builder, arguments[1])
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(made.dtype)))
        strides = [size]
        for side in sides[:0:-1]:
            strides.insert(0, builder.mul(strides[0], side))
        data = builder.inttoptr(arguments[0], array.data.type)
        arrayobj.populate_array(array, data=data, shape=sides, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()

    return made(address, shape, dtype), generate


def table(plan: Plan) -> NDArray[np.int64]:
    """Addresses and shapes of a plan's arrays, for its compiled function. The arrays must live as long as it is used."""
    return np.array([number for state in plan.states for array in state.value for number in (array.ctypes.data, *array.shape)], np.int64)


def compile_plan(plan: Plan, output: str) -> Callable[..., int]:
    """Compile a plan.

    Args:
        plan: The plan.
        output: Name of the state of type `Rows` that is recorded.

    Returns:
        A function `(table, x, y, t, p, first, last, now, every, out, work)` that takes events `first` to `last`, `every` at a
        time, and writes the output's rows after each time to `out`, `[events or 0, sites, C]`. It returns the index after the
        last event that was taken.
    """
    names: dict[Callable[..., Any], str] = {}
    source = _source(plan, output, names)
    run: Callable[..., int] = _module(source, {_home(function) for function in names}).run
    return run


def _source(plan: Plan, output: str, names: dict[Callable[..., Any], str]) -> str:
    """Source of the module; fills in the names of the functions that it imports."""

    def call(part: Call, extra: str = "") -> str:
        name = names.setdefault(part.function, f"f{len(names)}")
        return f"{name}({', '.join(part.arguments)}{extra})"

    body = [f"reached = {call(plan.source.call, ', x, y, t, p, done, stop, now')}"]
    if plan.whole is not None:
        begin = names.setdefault(sites.begin_fixed, f"f{len(names)}")
        body.append(f"{begin}({plan.whole.sites.name})")
    for part in plan.body:
        step = plan.steps[part.step]
        if isinstance(part, RowLoop):
            lines = _loop(part, step.cost.unit > 0, call, names)
        else:
            lines = [f"work[{part.step}, {0 if step.graph is None else 1}] += {call(part.call)}"]
            if part.when is not None:
                lines = [f"if {call(part.when)}:", *(f"    {line}" for line in lines)]
        body += [f"# {step.name}", *lines]
    imports = []
    for function, name in names.items():
        python = function.py_func  # type: ignore[attr-defined]
        if "<locals>" in python.__qualname__:
            raise EventZooError(f"{python.__module__}.{python.__qualname__} must be a function of its module, to be compiled with others")
        imports.append(f"from {python.__module__} import {python.__qualname__} as {name}")
    unpackers, unpacked = _unpacking(plan)
    return "\n".join(
        [
            f'"""An asynchronous network, written by eventzoo {eventzoo.__version__}."""',
            "",
            "import numba",
            "import numpy as np",
            "",
            f"from {__name__} import array_at",
            *imports,
            *unpackers,
            "",
            "",
            '@numba.njit(cache=True, nogil=True, error_model="numpy")',
            "def run(table, x, y, t, p, first, last, now, every, out, work):",
            *(f"    {line}" for line in unpacked),
            "    done = first",
            "    while True:",
            "        stop = min(done + every, last)",
            *(f"        {line}" for line in body),
            "        if len(out) > 0 and reached > done:",
            f"            for site in range({output}.rows.shape[0]):",
            f"                for channel in range({output}.rows.shape[1]):",
            f"                    out[reached - 1, site, channel] = {output}.rows[site, channel]",
            "        if reached == done or reached == last:",
            "            return reached",
            "        done = reached",
            "",
        ]
    )


def _unpacking(plan: Plan) -> tuple[list[str], list[str]]:
    """Functions that make each kind of state of the table, and the lines that call them."""
    functions: dict[tuple[Any, ...], str] = {}
    lines, calls, at = [], [], 0
    for state in plan.states:
        made: type = type(state.value)
        kind = (made, *((array.dtype.name, array.ndim) for array in state.value))
        if kind not in functions:
            functions[kind] = name = f"take{len(functions)}"
            lines += [f"from {made.__module__} import {made.__qualname__} as T{name}", "", ""]
            lines += ["@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)", f"def {name}(table, at):", f"    return T{name}("]
            place = 0
            for array in state.value:
                shape = "".join(f"table[at + {place + 1 + axis}], " for axis in range(array.ndim))
                dtype = "bool_" if array.dtype == np.bool_ else array.dtype.name
                lines.append(f"        array_at(table[at + {place}], ({shape}), np.{dtype}),")
                place += 1 + array.ndim
            lines += ["    )", ""]
        calls.append(f"{state.name} = {functions[kind]}(table, {at})")
        at += sum(1 + array.ndim for array in state.value)
    return lines, calls


def _loop(loop: RowLoop, counts_units: bool, call: Callable[[Call], str], names: dict[Callable[..., Any], str]) -> list[str]:
    """The lines of a layer that computes rows."""

    def name(function: Callable[..., Any]) -> str:
        return names.setdefault(function, f"f{len(names)}")

    domain, output = loop.output.domain.sites.name, loop.output.rows.name
    read = {x.rows.name: None for x in (*loop.inputs, loop.x)}
    occasions = [f"{domain}.counts[{sites.ARRIVED}]", f"{domain}.counts[{sites.TOUCHED}]", *(f"{rows}.counts[0]" for rows in read)]
    lines = [f"{name(sites.open_worklist)}({domain}, {output})"]
    lines += [f"{name(sites.add_changed)}({domain}, {x.rows.name})" for x in loop.inputs]
    if loop.graph is not None:
        graph, readers, changed = loop.graph.state.name, name(loop.graph.add_readers), loop.x.rows.name
        lines.append(f"{name(sites.add_touched)}({domain})")
        lines.append(f"{readers}({graph}, {domain}, {changed}.changed, {changed}.counts[0])")
        if loop.reads_degrees:
            lines.append(f"{readers}({graph}, {domain}, {domain}.touched, {domain}.counts[{sites.TOUCHED}])")
    lines += [f"for k in range({domain}.counts[{sites.WORK}]):", f"    slot = {domain}.work[k]"]
    if loop.graph is not None:
        lines.append(f"    count = {name(loop.graph.incoming)}({loop.graph.state.name}, {loop.graph.edges.name}, {domain}, slot)")
        lines.append(f"    work[{loop.step}, 1] += count")
    counted = f"work[{loop.step}, 2] += " if counts_units else ""
    lines += [f"    {counted}{call(loop.calls[0])}", *(f"    {call(part)}" for part in loop.calls[1:])]
    lines += [f"    {name(sites.commit)}({domain}, {output}, slot)", f"work[{loop.step}, 0] += {domain}.counts[{sites.WORK}]"]
    # most events reach few layers, and to find that there is nothing to do would take most of their time
    return [f"{output}.counts[0] = 0", f"if {' + '.join(occasions)} > 0:", *(f"    {line}" for line in lines)]


def _home(function: Callable[..., Any]) -> Path:
    """Folder of the file that a function is defined in."""
    return Path(function.py_func.__code__.co_filename).parent  # type: ignore[attr-defined]


def _module(source: str, folders: set[Path]) -> ModuleType:
    """The module of this source, compiled anew only if the source, or code in the folders of what it calls, is new."""
    digest = hashlib.blake2b(f"{numba.__version__} {sys.version}\n{source}".encode(), digest_size=12)
    for folder in sorted(folders):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    name = f"eventzoo_network_{digest.hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    path = _kept(f"{name}.py", source)
    loader = SourceFileLoader(name, str(path))
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _kept(name: str, source: str) -> Path:
    """The file of this name with this source, in the user's cache; where nothing can be kept, in a temporary folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eventzoo" / "networks"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / name
        if not path.is_file() or path.read_text(encoding="utf-8") != source:
            with tempfile.NamedTemporaryFile("w", dir=cache, suffix=".py", delete=False, encoding="utf-8") as file:
                file.write(source)
            os.replace(file.name, path)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="eventzoo-")) / name
        path.write_text(source, encoding="utf-8")
    return path
