"""Software tasks of hours: evaluators, machines, games and solvers, each a whole small program in one function."""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from random import Random

from safecase.suites.checkpoint._program import Json, Program


def board_after(size: int, moves: Sequence[str]) -> list[str] | None:
    board: dict[tuple[int, int], str] = {}
    banned: tuple[int, int] | None = None

    def near(cell: tuple[int, int]) -> list[tuple[int, int]]:
        row, column = cell
        around = ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
        return [(r, c) for r, c in around if 0 <= r < size and 0 <= c < size]

    def group(cell: tuple[int, int]) -> tuple[set[tuple[int, int]], bool]:
        mine, todo, breathes = {cell}, [cell], False
        while todo:
            for other in near(todo.pop()):
                if other not in board:
                    breathes = True
                elif board[other] == board[cell] and other not in mine:
                    mine.add(other)
                    todo.append(other)
        return mine, breathes

    for number, move in enumerate(moves):
        stone, other = ("x", "o") if number % 2 == 0 else ("o", "x")
        if move == "pass":
            banned = None
            continue
        row, column = map(int, move.split(","))
        cell = (row, column)
        if not (0 <= row < size and 0 <= column < size) or cell in board or cell == banned:
            return None
        board[cell] = stone
        taken: set[tuple[int, int]] = set()
        for beside in near(cell):
            if board.get(beside) == other:
                mine, breathes = group(beside)
                taken |= set() if breathes else mine
        for gone in taken:
            del board[gone]
        mine, breathes = group(cell)
        if not breathes:
            return None
        alone = len(mine) == 1 and sum(spot not in board for spot in near(cell)) == 1
        banned = next(iter(taken)) if len(taken) == 1 and alone else None
    return ["".join(board.get((row, column), ".") for column in range(size)) for row in range(size)]


def count_tilings(grid: Sequence[str], shapes: Sequence[Sequence[str]]) -> int:
    free = frozenset((r, c) for r, row in enumerate(grid) for c, char in enumerate(row) if char == ".")

    def turns(shape: Sequence[str]) -> set[frozenset[tuple[int, int]]]:
        cells = [(r, c) for r, row in enumerate(shape) for c, char in enumerate(row) if char == "#"]
        found = set()
        for _ in range(4):
            cells = [(c, -r) for r, c in cells]
            first = min(cells)
            found.add(frozenset((r - first[0], c - first[1]) for r, c in cells))
        return found

    forms = [turns(shape) for shape in shapes]

    def ways(left: frozenset[tuple[int, int]], unused: tuple[int, ...]) -> int:
        if not left:
            return 1
        row, column = min(left)
        total = 0
        for which in unused:
            for form in forms[which]:
                cells = {(row + r, column + c) for r, c in form}
                if cells <= left:
                    total += ways(left - cells, tuple(other for other in unused if other != which))
        return total

    return ways(free, tuple(range(len(shapes))))


def sheet(cells: dict[str, str]) -> dict[str, Json]:
    state: dict[str, Json] = {}

    class Wrong(Exception):
        pass

    def value(name: str) -> int:
        if name not in state:
            state[name] = "#CYCLE"
            state[name] = read(cells.get(name, ""))
        if isinstance(state[name], str):
            raise Wrong(state[name] if state[name].startswith("#") else "#TYPE")
        return int(state[name])

    def span(one: str, other: str) -> list[str]:
        columns = range(ord(one[0]), ord(other[0]) + 1)
        return [f"{chr(column)}{row}" for column in columns for row in range(int(one[1:]), int(other[1:]) + 1)]

    def read(text: str) -> Json:
        if not text.startswith("="):
            return int(text) if re.fullmatch(r"-?\d+", text) else (text or 0)
        tokens = re.findall(r"[A-Z]+\d*|\d+|\S", text[1:])
        try:
            result = total(tokens)
        except (IndexError, ValueError):
            return "#PARSE"
        except ZeroDivisionError:
            return "#DIV"
        except Wrong as wrong:
            return str(wrong)
        return "#PARSE" if tokens else result

    def atom(tokens: list[str]) -> int:
        lexeme = tokens.pop(0)
        if lexeme == "(":
            inside = total(tokens)
            if tokens.pop(0) != ")":
                raise ValueError(lexeme)
            return inside
        if lexeme in {"SUM", "MAX", "COUNT"}:
            opening, one, colon, other, closing = (tokens.pop(0) for _ in range(5))
            fits = all(re.fullmatch(r"[A-Z]\d+", cell) for cell in (one, other))
            if (opening, colon, closing) != ("(", ":", ")") or not fits:
                raise ValueError(lexeme)
            found = [value(cell) for cell in span(one, other)]
            return {"SUM": sum(found), "MAX": max(found, default=0), "COUNT": len(found)}[lexeme]
        if re.fullmatch(r"[A-Z]\d+", lexeme):
            return value(lexeme)
        return int(lexeme)

    def product_of(tokens: list[str]) -> int:
        result = atom(tokens)
        while tokens and tokens[0] in {"*", "/"}:
            result = result * atom(tokens) if tokens.pop(0) == "*" else result // atom(tokens)
        return result

    def total(tokens: list[str]) -> int:
        result = product_of(tokens)
        while tokens and tokens[0] in {"+", "-"}:
            result = result + product_of(tokens) if tokens.pop(0) == "+" else result - product_of(tokens)
        return result

    def reaches_itself(start: str) -> bool:
        def needs(name: str) -> set[str]:
            text = cells.get(name, "")
            if not text.startswith("="):
                return set()
            found = set(re.findall(r"[A-Z]\d+", text))
            for one, row, other, last in re.findall(r"([A-Z])(\d+)\s*:\s*([A-Z])(\d+)", text):
                columns = range(ord(one), ord(other) + 1)
                found |= {f"{chr(column)}{r}" for column in columns for r in range(int(row), int(last) + 1)}
            return found

        seen: set[str] = set()
        todo = list(needs(start))
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += needs(name)
        return start in seen

    looping = {name for name in cells if reaches_itself(name)}
    state.update(dict.fromkeys(looping, "#CYCLE"))
    for name in cells:
        if name not in state:
            state[name] = read(cells[name])
    return {name: state[name] for name in sorted(cells)}


def satisfy(clauses: Sequence[Sequence[int]]) -> list[int] | None:
    def simplified(left: list[frozenset[int]], true: int) -> list[frozenset[int]] | None:
        rest = [clause - {-true} for clause in left if true not in clause]
        return None if frozenset() in rest else rest

    def possible(left: list[frozenset[int]] | None) -> bool:
        while left:
            single = next((clause for clause in left if len(clause) == 1), None)
            if single is None:
                break
            left = simplified(left, next(iter(single)))
        if not left:
            return left is not None
        shortest = sorted(left, key=len)[0]
        literal = next(iter(shortest))
        return possible(simplified(left, literal)) or possible(simplified(left, -literal))

    left: list[frozenset[int]] | None = [frozenset(clause) for clause in clauses]
    names = sorted({abs(literal) for clause in clauses for literal in clause})
    if frozenset() in (left or []) or not possible(left):
        return None
    chosen = []
    for name in names:
        with_it = simplified(left or [], name)
        literal = name if possible(with_it) else -name
        left = with_it if literal > 0 else simplified(left or [], -name)
        chosen.append(literal)
    return chosen


def run_machine(source: str, inputs: Sequence[int], most: int) -> list[Json]:
    labels: dict[str, int] = {}
    code: list[list[str]] = []
    for line in source.split("\n"):
        words = line.partition("#")[0].replace(",", " ").split()
        if words and words[0].endswith(":"):
            labels[words.pop(0)[:-1]] = len(code)
        if words:
            code.append(words)
    registers: dict[str, int] = dict.fromkeys(("a", "b", "c", "d"), 0)
    memory: dict[int, int] = {}
    stack: list[int] = []
    waiting, output = list(inputs), list[Json]()
    place = steps = 0

    def get(word: str) -> int:
        if word.startswith("["):
            return memory.get(get(word[1:-1]), 0)
        return registers[word] if word in registers else int(word)

    def put(word: str, value: int) -> None:
        wrapped = (value + 32768) % 65536 - 32768
        if word.startswith("["):
            memory[get(word[1:-1])] = wrapped
        elif word in registers:
            registers[word] = wrapped
        else:
            raise ValueError(word)

    try:
        while 0 <= place < len(code):
            if steps == most:
                return ["limit", output]
            steps += 1
            op, *rest = code[place]
            place += 1
            if op == "halt":
                break
            if op in {"mov", "add", "sub", "mul"}:
                a, b = (0 if op == "mov" else get(rest[0])), get(rest[1])
                put(rest[0], {"mov": b, "add": a + b, "sub": a - b, "mul": a * b}[op])
            elif op in {"jmp", "jz", "jn"}:
                tested = 0 if op == "jmp" else get(rest[0])
                if tested == 0 if op != "jn" else tested < 0:
                    place = labels[rest[-1]]
            elif op == "call":
                stack.append(place)
                place = labels[rest[0]]
            elif op == "ret":
                place = stack.pop()
            elif op == "push":
                stack.append(get(rest[0]))
            elif op == "pop":
                put(rest[0], stack.pop())
            elif op == "in":
                put(rest[0], waiting.pop(0))
            elif op == "out":
                output.append(get(rest[0]))
            else:
                return ["fault", output]
    except (IndexError, KeyError, ValueError):
        return ["fault", output]
    return ["done", output]


def normal_form(text: str) -> str | None:
    tokens = re.findall(r"\d+|[a-z]|\S", text)
    Poly = dict[tuple[tuple[str, int], ...], int]  # noqa: N806 - a type, in a solution that is whole in itself

    def times(one: Poly, other: Poly) -> Poly:
        out: Poly = {}
        for (left, a), (right, b) in product(one.items(), other.items()):
            powers: dict[str, int] = {}
            for name, power in (*left, *right):
                powers[name] = powers.get(name, 0) + power
            key = tuple(sorted(powers.items()))
            out[key] = out.get(key, 0) + a * b
        return {key: number for key, number in out.items() if number}

    def plus(one: Poly, other: Poly, sign: int) -> Poly:
        keys = {*one, *other}
        out = {key: one.get(key, 0) + sign * other.get(key, 0) for key in keys}
        return {key: number for key, number in out.items() if number}

    def atom() -> Poly:
        lexeme = tokens.pop(0)
        if lexeme == "-":
            return times({(): -1}, power())
        if lexeme == "(":
            inside = total()
            if tokens.pop(0) != ")":
                raise ValueError(lexeme)
            return inside
        if lexeme.isdigit():
            return {(): int(lexeme)} if int(lexeme) else {}
        if not ("a" <= lexeme <= "z"):
            raise ValueError(lexeme)
        return {((lexeme, 1),): 1}

    def power() -> Poly:
        base = atom()
        if tokens and tokens[0] == "^":
            tokens.pop(0)
            out: Poly = {(): 1}
            for _ in range(int(tokens.pop(0))):
                out = times(out, base)
            return out
        return base

    def term() -> Poly:
        out = power()
        while tokens and (tokens[0] in {"*", "("} or tokens[0].isalnum()):
            if tokens[0] == "*":
                tokens.pop(0)
            out = times(out, power())
        return out

    def total() -> Poly:
        out = term()
        while tokens and tokens[0] in {"+", "-"}:
            out = plus(out, term(), 1) if tokens.pop(0) == "+" else plus(out, term(), -1)
        return out

    def shown(key: tuple[tuple[str, int], ...], number: int) -> str:
        letters = "".join(name if power == 1 else f"{name}^{power}" for name, power in key)
        return letters if letters and abs(number) == 1 else f"{abs(number)}{letters}"

    try:
        found = total()
    except (IndexError, ValueError):
        return None
    if tokens:
        return None
    order = sorted(found, key=lambda key: (-sum(p for _, p in key), "".join(name * p for name, p in key)))
    signed = [("-" if found[key] < 0 else "+", shown(key, found[key])) for key in order]
    said = " ".join(f"{sign} {part}" for sign, part in signed)
    return "0" if not said else said[2:] if said[0] == "+" else "-" + said[2:]


def schedule(jobs: Sequence[Sequence[Json]], slice_ticks: int) -> list[str]:
    work = {name: list(bursts) for name, _, _, bursts in jobs}
    rank = {name: priority for name, _, priority, _ in jobs}
    ready: list[str] = []
    blocked: dict[str, int] = {}
    running: str | None = None
    used = clock = 0
    line: list[str] = []
    pending = sorted(jobs, key=lambda job: (job[1], job[0]))

    def best() -> str:
        return min(ready, key=lambda name: (rank[name], ready.index(name)))

    while pending or ready or blocked or running:
        back = sorted(name for name, at in blocked.items() if at == clock)
        ready += [job[0] for job in pending if job[1] == clock] + back
        pending = [job for job in pending if job[1] > clock]
        blocked = {name: at for name, at in blocked.items() if at > clock}
        if (running and used >= slice_ticks) or (running and ready and rank[best()] < rank[running]):
            ready.append(str(running))
            running = None
        if running is None and ready:
            running, used = best(), 0
            ready.remove(running)
        line.append(running or ".")
        if running:
            used += 1
            work[running][0] -= 1
            if work[running][0] == 0:
                work[running].pop(0)
                if work[running]:
                    blocked[running] = clock + 1 + work[running].pop(0)
                running = None
        clock += 1
    return line


def choose_versions(index: dict[str, dict[str, dict[str, str]]], wanted: dict[str, str]) -> dict[str, str] | None:
    def key(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    def fits(version: str, rule: str) -> bool:
        for part in rule.split(","):
            sign, _, bound = re.match(r"(>=|<=|==|!=|<|>|~)?(\s*)([\d.]+)", part.strip()).groups()  # type: ignore[union-attr]  # rules are well formed
            one, other = key(version), key(bound)
            holds = {
                ">=": one >= other,
                "<=": one <= other,
                "<": one < other,
                ">": one > other,
                "!=": one != other,
                "~": one >= other and one[:1] == other[:1],
            }.get(sign or "==", one == other)
            if not holds:
                return False
        return True

    def solve(chosen: dict[str, str], rules: list[tuple[str, str]]) -> dict[str, str] | None:
        if any(name in chosen and not fits(chosen[name], rule) for name, rule in rules):
            return None
        names = sorted({name for name, _ in rules} - chosen.keys())
        if not names:
            return chosen
        name = names[0]
        for version in sorted(index.get(name, {}), key=key, reverse=True):
            more = list(index[name][version].items())
            found = solve({**chosen, name: version}, [*rules, *more])
            if found is not None:
                return found
        return None

    return solve({}, list(wanted.items()))


def infer_type(term: str) -> str | None:
    tokens = re.findall(r"->|[a-z]\w*|\d+|[\\().=]", term)
    bound: dict[int, Json] = {}
    fresh = iter(range(10_000))

    def parse() -> Json:
        parts: list[Json] = []
        while tokens and tokens[0] not in {")", "in", "then", "else", "="}:
            lexeme = tokens.pop(0)
            if lexeme == "\\":
                name, dot = tokens.pop(0), tokens.pop(0)
                if dot != ".":
                    raise ValueError(dot)
                parts.append(("fun", name, parse()))
            elif lexeme == "let":
                name, equals = tokens.pop(0), tokens.pop(0)
                value, word = parse(), tokens.pop(0)
                if (equals, word) != ("=", "in"):
                    raise ValueError(word)
                parts.append(("let", name, value, parse()))
            elif lexeme == "(":
                parts.append(parse())
                if tokens.pop(0) != ")":
                    raise ValueError(lexeme)
            elif lexeme.isdigit():
                parts.append(("int",))
            elif lexeme[0].isalpha():
                parts.append(("var", lexeme))
            else:
                raise ValueError(lexeme)
        if not parts:
            raise ValueError("nothing")
        out = parts[0]
        for part in parts[1:]:
            out = ("app", out, part)
        return out

    def seen(kind: Json) -> Json:
        while isinstance(kind, int) and kind in bound:
            kind = bound[kind]
        return kind

    def inside(number: int, kind: Json) -> bool:
        kind = seen(kind)
        return kind == number if not isinstance(kind, tuple) else any(inside(number, part) for part in kind[1:])

    def unify(one: Json, other: Json) -> None:
        one, other = seen(one), seen(other)
        if one == other:
            return
        if not isinstance(one, int):
            one, other = other, one
        if isinstance(one, int):
            if inside(one, other):
                raise ValueError("infinite")
            bound[one] = other
        elif len(one) == len(other) == 3:
            unify(one[1], other[1])
            unify(one[2], other[2])
        else:
            raise ValueError("mismatch")

    def open_in(kind: Json) -> set[int]:
        kind = seen(kind)
        return {kind} if isinstance(kind, int) else {number for part in kind[1:] for number in open_in(part)}

    def copy(kind: Json, names: dict[int, int]) -> Json:
        kind = seen(kind)
        if isinstance(kind, int):
            return names.get(kind, kind)
        return (kind[0], *(copy(part, names) for part in kind[1:]))

    def infer(node: Json, scope: dict[str, Json]) -> Json:
        if node[0] == "int":
            return ("int",)
        if node[0] == "var":
            general, kind = scope[node[1]]
            return copy(kind, {number: next(fresh) for number in general})
        if node[0] == "fun":
            taken = next(fresh)
            return ("->", taken, infer(node[2], {**scope, node[1]: (set(), taken)}))
        if node[0] == "app":
            what, given, result = infer(node[1], scope), infer(node[2], scope), next(fresh)
            unify(what, ("->", given, result))
            return result
        kind = infer(node[2], scope)
        held = {number for general, other in scope.values() for number in open_in(other) - general}
        return infer(node[3], {**scope, node[1]: (open_in(kind) - held, kind)})

    def shown(kind: Json, names: dict[int, str], is_left: bool) -> str:
        kind = seen(kind)
        if isinstance(kind, int):
            return names.setdefault(kind, "abcdefghijklmnopqrstuvwxyz"[len(names)])
        if kind == ("int",):
            return "int"
        left = shown(kind[1], names, True)
        said = f"{left} -> {shown(kind[2], names, False)}"
        return f"({said})" if is_left else said

    plus: Json = (set(), ("->", ("int",), ("->", ("int",), ("int",))))
    try:
        tree = parse()
        return None if tokens else shown(infer(tree, {"add": plus}), {}, False)
    except (IndexError, KeyError, ValueError):
        return None


def run_script(source: str) -> list[Json]:
    tokens = re.findall(r"[a-z_]\w*|\d+|[=!<>]=|[-+*/<>=(){},;]", source)
    printed: list[Json] = []
    budget = [20_000]

    class Back(Exception):
        pass

    def take(word: str = "") -> str:
        lexeme = str(tokens.pop(0))
        if word and lexeme != word:
            raise ValueError(lexeme)
        return lexeme

    def block() -> Json:
        take("{")
        body = []
        while tokens[0] != "}":
            body.append(statement())
        take("}")
        return body

    def statement() -> Json:
        word = tokens[0]
        if word in {"while", "if"}:
            take()
            test, body = sum_of(), block()
            other: Json = []
            if word == "if" and tokens and tokens[0] == "else":
                take()
                other = block()
            return (word, test, body, other)
        if word in {"print", "return"}:
            take()
            value = sum_of()
            take(";")
            return (word, value)
        if word == "let":
            take()
            name = take()
            take("=")
            value = sum_of()
            take(";")
            return ("let", name, value)
        value = sum_of()
        if tokens[0] == "=" and value[0] == "name":
            take()
            value = ("set", value[1], sum_of())
        take(";")
        return ("do", value)

    def atom() -> Json:
        lexeme = take()
        if lexeme == "(":
            value = sum_of()
            take(")")
        elif lexeme == "fn":
            take("(")
            names = []
            while tokens[0] != ")":
                names.append(take())
                if tokens[0] == ",":
                    take()
            take(")")
            value = ("fn", names, block())
        elif lexeme.isdigit():
            value = ("number", int(lexeme))
        elif lexeme[0].isalpha() or lexeme[0] == "_":
            value = ("name", lexeme)
        elif lexeme == "-":
            return ("-", ("number", 0), atom())
        else:
            raise ValueError(lexeme)
        while tokens and tokens[0] == "(":
            take()
            given = []
            while tokens[0] != ")":
                given.append(sum_of())
                if tokens[0] == ",":
                    take()
            take(")")
            value = ("call", value, given)
        return value

    def left(signs: set[str], below: Json) -> Json:
        value = below()
        while tokens and tokens[0] in signs:
            value = (take(), value, below())
        return value

    def sum_of() -> Json:
        return left({"<", ">", "==", "!=", "<=", ">="}, lambda: left({"+", "-"}, lambda: left({"*", "/"}, atom)))

    def find(scope: Json, name: str) -> Json:
        while name not in scope[0]:
            scope = scope[1]
        return scope[0]

    def value_of(node: Json, scope: Json) -> Json:
        budget[0] -= 1
        if budget[0] < 0:
            raise TimeoutError
        kind = node[0]
        if kind == "number":
            return node[1]
        if kind == "name":
            return find(scope, node[1])[node[1]]
        if kind == "fn":
            return ("closure", node[1], node[2], scope)
        if kind == "set":
            found = find(scope, node[1])
            found[node[1]] = value_of(node[2], scope)
            return found[node[1]]
        if kind == "call":
            _, names, body, outer = value_of(node[1], scope)
            given = [value_of(one, scope) for one in node[2]]
            try:
                run(body, [dict(zip(names, given, strict=True)), outer])
            except Back as back:
                return back.args[0]
            return 0
        a, b = value_of(node[1], scope), value_of(node[2], scope)
        if kind in {"+", "-", "*"}:
            return {"+": a + b, "-": a - b, "*": a * b}[kind]
        if kind == "/":
            return a // b
        return int({"<": a < b, ">": a > b, "==": a == b, "!=": a != b, "<=": a <= b, ">=": a >= b}[kind])

    def run(body: Json, scope: Json) -> None:
        for node in body:
            kind = node[0]
            if kind == "print":
                printed.append(value_of(node[1], scope))
            elif kind == "return":
                raise Back(value_of(node[1], scope))
            elif kind == "let":
                scope[0][node[1]] = value_of(node[2], scope)
            elif kind == "do":
                value_of(node[1], scope)
            elif kind == "if":
                run(node[2] if value_of(node[1], scope) else node[3], [{}, scope])
            else:
                while value_of(node[1], scope):
                    run(node[2], [{}, scope])

    try:
        body = []
        while tokens:
            body.append(statement())
    except (IndexError, ValueError):
        return ["syntax"]
    try:
        run(body, [{}, None])
    except Back:
        return [*printed, "fault"]
    except TimeoutError:
        return [*printed, "limit"]
    except (TypeError, ValueError, ZeroDivisionError):
        return [*printed, "fault"]
    return printed


def answer_query(rules: Sequence[str], query: str) -> list[dict[str, str]]:
    fresh = iter(range(1_000_000))
    found: list[dict[str, str]] = []

    def parse(text: str) -> Json:
        tokens = re.findall(r"\w+|[(),]", text)

        def term() -> Json:
            name = tokens.pop(0)
            if tokens and tokens[0] == "(":
                parts = []
                while tokens.pop(0) in {"(", ","}:
                    parts.append(term())
                    if tokens[0] == ")":
                        tokens.pop(0)
                        break
                return (name, *parts)
            return name if name[0].isupper() else (name,)

        out = [term()]
        while tokens:
            tokens.pop(0)
            out.append(term())
        return out

    def walk(term: Json, bound: dict[str, Json]) -> Json:
        while isinstance(term, str) and term in bound:
            term = bound[term]
        return term

    def occurs(name: str, term: Json, bound: dict[str, Json]) -> bool:
        term = walk(term, bound)
        return term == name if isinstance(term, str) else any(occurs(name, part, bound) for part in term[1:])

    def unify(one: Json, other: Json, bound: dict[str, Json]) -> dict[str, Json] | None:
        one, other = walk(one, bound), walk(other, bound)
        if one == other:
            return bound
        if isinstance(other, str) and not isinstance(one, str):
            one, other = other, one
        if isinstance(one, str):
            return None if occurs(one, other, bound) else {**bound, one: other}
        if one[0] != other[0] or len(one) != len(other):
            return None
        out: dict[str, Json] | None = bound
        for left, right in zip(one[1:], other[1:], strict=True):
            out = unify(left, right, out) if out is not None else None
        return out

    def renamed(term: Json, tag: str) -> Json:
        return term + tag if isinstance(term, str) else (term[0], *(renamed(part, tag) for part in term[1:]))

    def prove(goals: list[Json], bound: dict[str, Json], depth: int) -> Iterator[dict[str, Json]]:
        if not goals:
            yield bound
            return
        if depth > 60:
            return
        for head, body in known:
            tag = f"~{next(fresh)}"
            met = unify(goals[0], renamed(head, tag), bound)
            if met is not None:
                yield from prove([*(renamed(goal, tag) for goal in body), *goals[1:]], met, depth + 1)

    def shown(term: Json, bound: dict[str, Json]) -> str:
        term = walk(term, bound)
        if isinstance(term, str):
            return "_"
        inside = ",".join(shown(part, bound) for part in term[1:])
        return f"{term[0]}({inside})" if inside else str(term[0])

    known = []
    for rule in rules:
        head, _, body = rule.partition(":-")
        known.append((parse(head)[0], parse(body) if body.strip() else []))
    names = sorted(set(re.findall(r"\b[A-Z]\w*", query)))
    for bound in prove(parse(query), {}, 0):
        answer = {name: shown(name, bound) for name in names}
        if answer not in found:
            found.append(answer)
        if len(found) == 20:
            break
    return found


def legal_moves(position: str) -> int:
    placed, side, castling, passing = position.split()
    board: dict[tuple[int, int], str] = {}
    for number, row in enumerate(placed.split("/")):
        column = 0
        for char in row:
            if char.isdigit():
                column += int(char)
            else:
                board[7 - number, column] = char
                column += 1
    steps = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]
    leaps = [(1, 2), (2, 1), (-1, 2), (-2, 1), (1, -2), (2, -1), (-1, -2), (-2, -1)]
    slides = {"r": steps[:4], "b": steps[4:], "q": steps}
    target = None if passing == "-" else (int(passing[1]) - 1, ord(passing[0]) - ord("a"))

    def is_on(cell: tuple[int, int]) -> bool:
        return 0 <= cell[0] < 8 and 0 <= cell[1] < 8

    def is_white(piece: str) -> bool:
        return piece.isupper()

    def attacked(cell: tuple[int, int], by_white: bool, on: dict[tuple[int, int], str]) -> bool:
        row, column = cell

        def at(r: int, c: int, kinds: str) -> bool:
            piece = on.get((r, c), "")
            return bool(piece) and is_white(piece) == by_white and piece.lower() in kinds

        forward = -1 if by_white else 1
        if any(at(row + forward, column + d, "p") for d in (-1, 1)):
            return True
        if any(at(row + r, column + c, "n") for r, c in leaps) or any(at(row + r, column + c, "k") for r, c in steps):
            return True
        for place, (down, right) in enumerate(steps):
            r, c = row + down, column + right
            while is_on((r, c)):
                if (r, c) in on:
                    if at(r, c, "rq" if place < 4 else "bq"):
                        return True
                    break
                r, c = r + down, c + right
        return False

    white = side == "w"

    def moves() -> Iterator[tuple[tuple[int, int], tuple[int, int], int]]:
        for (row, column), piece in list(board.items()):
            if is_white(piece) != white:
                continue
            kind = piece.lower()
            if kind == "p":
                forward, home = (1, 1) if white else (-1, 6)
                ends = 8 if row + forward in {0, 7} else 0
                ways = 4 if ends else 1
                if (row + forward, column) not in board:
                    yield (row, column), (row + forward, column), ways
                    if row == home and (row + 2 * forward, column) not in board:
                        yield (row, column), (row + 2 * forward, column), 1
                for aside in (-1, 1):
                    cell = (row + forward, column + aside)
                    taken = board.get(cell, "")
                    if (taken and is_white(taken) != white) or (cell == target and not taken):
                        yield (row, column), cell, ways
                continue
            reach = leaps if kind == "n" else steps if kind == "k" else slides[kind]
            for down, right in reach:
                cell = (row + down, column + right)
                while is_on(cell):
                    if cell in board:
                        if is_white(board[cell]) != white:
                            yield (row, column), cell, 1
                        break
                    yield (row, column), cell, 1
                    if kind in "nk":
                        break
                    cell = (cell[0] + down, cell[1] + right)

    def is_safe(start: tuple[int, int], end: tuple[int, int]) -> bool:
        after = dict(board)
        piece = after.pop(start)
        if piece.lower() == "p" and end == target and end not in board:
            after.pop((start[0], end[1]))
        after[end] = piece
        king = next(cell for cell, found in after.items() if found == ("K" if white else "k"))
        return not attacked(king, not white, after)

    total = sum(ways for start, end, ways in moves() if is_safe(start, end))
    home = 0 if white else 7
    for letter, between, crossed in (("K", (5, 6), (4, 5, 6)), ("Q", (1, 2, 3), (4, 3, 2))):
        is_allowed = (letter if white else letter.lower()) in castling
        is_free = all((home, column) not in board for column in between)
        if is_allowed and is_free and not any(attacked((home, column), not white, board) for column in crossed):
            total += 1
    return total


# Draws


def _moves(rng: Random) -> tuple[Json, ...]:
    size = rng.randint(2, 4)
    cells = [f"{r},{c}" for r in range(size) for c in range(size)]
    while True:
        moves: list[str] = []
        for _ in range(rng.randint(2, 14)):
            move = rng.choice([*cells, "pass"])
            if rng.random() < 0.03 or board_after(size, [*moves, move]) is not None:
                moves.append(move)
        if moves:
            return (size, moves)


def _tiling(rng: Random) -> tuple[Json, ...]:
    shapes = [["##"], ["###"], ["#.", "##"], ["##", "##"], ["#"], ["#..", "###"], [".#", "##", "#."]]
    chosen = [rng.choice(shapes) for _ in range(rng.randint(2, 5))]
    if rng.random() < 0.5:
        chosen = [["##"]] * rng.randint(2, 4)
    cells = sum(row.count("#") for shape in chosen for row in shape)
    height = rng.choice([2, 3])
    width = -(-(cells + rng.randint(0, 2)) // height)
    grid = [["."] * width for _ in range(height)]
    for place in rng.sample(range(height * width), rng.randint(0, min(2, height * width))):
        grid[place // width][place % width] = "#"
    return (["".join(row) for row in grid], chosen)


def _sheet(rng: Random) -> tuple[Json, ...]:
    names = [f"{column}{row}" for column in "AB" for row in (1, 2, 3)]
    cells = {}
    for name in rng.sample(names, rng.randint(3, 6)):
        one, other = rng.choice(names), rng.choice(names)
        kinds = [str(rng.randint(-9, 9)), f"={one}+{other}*2", f"=({one}-1)/{rng.choice((2, 3, 0))}", "word"]
        kinds += [f"=SUM(A1:{rng.choice('AB')}{rng.randint(1, 2)})", f"=MAX(B1:B{rng.randint(1, 3)})-{one}", "=1+", "7"]
        cells[name] = rng.choice([*kinds, "3", "12"])
    return (cells,)


def _clauses(rng: Random) -> tuple[Json, ...]:
    names = rng.randint(3, 18)
    clauses = []
    for _ in range(int(names * rng.uniform(2.0, 5.5))):
        chosen = rng.sample(range(1, names + 1), 3)
        clauses.append([name * rng.choice((-1, 1)) for name in chosen])
    return (clauses,)


_MACHINES = (
    "in a\nloop: jz a end\nout a\nsub a 1\njmp loop\nend: halt",
    "in a\nin b\nmov c 0\nloop: jz b end # multiply\nadd c a\nsub b 1\njn b end\njmp loop\nend: out c",
    "in a\npush a\ncall twice\npop b\nout b\nout a\nhalt\ntwice: mul a 2\nret",
    "in a\ncall twice\nout a\nhalt\ntwice: mul a 2\nret",
    "mov a 5\nfill: mov [a], a\nmul [a] a\nsub a 1\njn a show\njmp fill\nshow: in b\nout [b]\njmp show",
    "mov a 30000\nin b\nadd a b\nout a\njn a low\nout 1\nhalt\nlow: out 2",
    "in a\nfrob a\nout a",
    "pop a\nout a",
)


def _machine(rng: Random) -> tuple[Json, ...]:
    return (
        rng.choice(_MACHINES),
        [rng.randint(-3, 9) * rng.choice((1, 1, 700)) for _ in range(rng.randint(0, 3))],
        200,
    )


def _polynomial(rng: Random) -> tuple[Json, ...]:
    pieces = ["x", "2y", "(x + y)", "(x - 1)^2", "3", "-z", "(a - b)(a + b)", "x^2 y", "0", "(y)"]
    text = rng.choice(pieces)
    for _ in range(rng.randint(1, 4)):
        text += rng.choice([" + ", " - ", "*", " "]) + rng.choice(pieces)
    return (text + (rng.choice([" )", " ^", " + "]) if rng.random() < 0.1 else ""),)


def _jobs(rng: Random) -> tuple[Json, ...]:
    jobs = []
    for name in rng.sample("ABCD", rng.randint(1, 4)):
        bursts = [rng.randint(1, 4) for _ in range(rng.choice((1, 3, 5)))]
        jobs.append([name, rng.randint(0, 6), rng.randint(1, 3), bursts])
    return (jobs, rng.randint(1, 3))


def _index(rng: Random) -> tuple[Json, ...]:
    names = ["app", "base", "core", "data"]
    versions = ["1.0", "1.2", "1.10", "2.0", "2.1"]
    rules = [">=1.2", "<2.0", "~1.0", "~2.0", ">1.0,!=1.10", "==1.2", ">=1.0,<=2.0", "2.1"]
    index: dict[str, dict[str, dict[str, str]]] = {}
    for place, name in enumerate(names):
        later = names[place + 1 :] + ([names[0]] if place and rng.random() < 0.2 else [])
        index[name] = {
            version: {other: rng.choice(rules) for other in later if rng.random() < 0.5}
            for version in rng.sample(versions, rng.randint(2, 5))
        }
    return (index, {name: rng.choice(rules) for name in rng.sample(names, 2)})


_TERMS = (
    r"\x. x",
    r"\f. \g. \x. f (g x)",
    r"\x. x x",
    r"let id = \x. x in id id",
    r"let id = \x. x in add (id 1) 2",
    r"\f. add (f 1) (f 2)",
    r"\x. let y = x in y",
    r"\f. \x. f x x",
    r"let pair = \a. \b. \f. f a b in pair 1 (\x. x)",
    r"add 1 (\x. x)",
    r"\x. \y. x",
    r"unknown 1",
    r"\f. (\x. f (x x)) (\x. f (x x))",
    r"\x. let f = \y. x in f (f 1)",
    r"(\x. x",
    r"let twice = \f. \x. f (f x) in twice (add 3)",
    r"\a. \b. \c. a c (b c)",
    r"let k = \x. \y. x in k (k 1 k) (k k)",
)


def _term(rng: Random) -> tuple[Json, ...]:
    one, other = rng.choice(_TERMS), rng.choice(_TERMS)
    return (rng.choice([one, f"({one}) ({other})", f"let it = {one} in \\z. it", f"\\q. ({one}) q"]),)


_SCRIPTS = (
    "let a = {0}; while a > 0 {{ print a * a; a = a - {1}; }}",
    "let f = fn(n) {{ if n < 2 {{ return n; }} return f(n - 1) + f(n - 2); }}; print f({0});",
    "let make = fn(k) {{ return fn(x) {{ k = k + x; return k; }}; }}; let m = make({0}); print m({1}); print m({1});",
    "let x = {0}; if x == {1} {{ let x = 9; print x; }} else {{ x = x - {1}; }} print x;",
    "print {0} / ({1} - 2); print -{0} / 2; print {0} - 2 - 1 < 4;",
    "let a = fn() {{ let b = {0}; }}; print a(); print c;",
    "let g = fn(h, n) {{ return h(h(n)); }}; print g(fn(v) {{ return v * {0}; }}, {1});",
    "let n = 0; while 1 {{ n = n + 1; }} print n;",
    "print {0} +;",
    "let o = {0}; let f = fn() {{ return o; }}; o = {1}; print f(); print (fn(z) {{ return z; }})(4); print f(1);",
    "fn(x) {{ print x; }}({0}); return 1; print 2;",
)


def _script(rng: Random) -> tuple[Json, ...]:
    chosen = [
        script.format(rng.randint(0, 9), rng.randint(1, 4)) for script in rng.sample(_SCRIPTS, rng.choice((1, 2)))
    ]
    return (" ".join(chosen),)


def _query(rng: Random) -> tuple[Json, ...]:
    people = rng.sample(["ada", "bo", "cy", "di", "ed"], 5)
    facts = [f"parent({people[place]}, {people[place + 1]})" for place in range(rng.randint(2, 4))]
    facts += [f"likes({rng.choice(people)}, tea)" for _ in range(2)]
    rules = [
        "elder(X, Y) :- parent(X, Y)",
        "elder(X, Z) :- parent(X, Y), elder(Y, Z)",
        "pair(X, box(X, Y)) :- likes(X, Y)",
    ]
    rules += ["add(zero, N, N)", "add(s(M), N, s(K)) :- add(M, N, K)", "same(X, X)"]
    queries = [f"elder({people[0]}, Who)", "elder(A, B), likes(B, What)", "pair(Who, What)", "same(f(X, b), f(a, Y))"]
    queries += ["add(A, B, s(s(zero)))", "add(s(zero), s(s(zero)), Sum)", "same(X, g(X))", "same(P, Q)"]
    return ([*facts, *rules], rng.choice(queries))


_POSITIONS = (
    "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -",
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq -",
    "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - -",
    "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq -",
    "rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ -",
    "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - -",
    "4k3/8/8/3pP3/8/8/8/4K3 w - d6",
    "8/8/8/KPp4r/8/8/8/6k1 w - c6",
    "r3k2r/8/8/8/8/8/6p1/R3K2R b KQkq -",
    "7k/5Q2/6K1/8/8/8/8/8 b - -",
)


def _position(rng: Random) -> tuple[Json, ...]:
    placed, side, castling, passing = rng.choice(_POSITIONS).split()
    kept = "".join(letter for letter in castling if letter != "-" and rng.random() < 0.7) or "-"
    if rng.random() < 0.5 and passing == "-":  # the same position with the colours changed about
        placed, side, kept = (
            "/".join(reversed(placed.swapcase().split("/"))),
            "b" if side == "w" else "w",
            kept.swapcase(),
        )
    return (f"{placed} {side} {kept} {passing}",)


LONG: tuple[Program, ...] = (
    Program(
        solve=board_after,
        minutes=120,
        told=(
            "Play stones on a square board, x first, then in turn. A move is 'row,column' from 0, or 'pass'. "
            "Stones that are joined along rows and columns are a group; after a move, groups of the other side "
            "without a free neighbour are taken off. A move is not allowed off the board, on a stone, when its "
            "own group then has no free neighbour, or when it takes straight back: where a move took exactly one "
            "stone, and the stone played stands alone with that as its one free neighbour, the next move may not "
            "be there (a pass lifts this). Give the rows of the board ('x', 'o', '.'), or None if a move was not "
            "allowed."
        ),
        examples=(
            ((2, ["0,0", "0,1", "pass", "1,0"]), [".o", "o."]),
            ((2, ["0,0", "0,0"]), None),
        ),
        draw=_moves,
        edges=(
            (4, ["0,1", "0,2", "1,0", "1,3", "2,1", "2,2", "1,2", "1,1", "1,2"]),
            (4, ["0,1", "0,2", "1,0", "1,3", "2,1", "2,2", "1,2", "1,1", "pass", "pass", "1,2"]),
        ),
        drawn=24,
    ),
    Program(
        solve=count_tilings,
        minutes=120,
        told=(
            "In how many ways can the free cells '.' of a grid be covered exactly by pieces, each used at most once? A "
            "piece is given by rows with '#' for its cells, may be turned by quarters but not turned over, and may not "
            "overlap. Two pieces of one shape are different pieces. Each way of placing pieces counts once."
        ),
        examples=(((["..", ".."], [["##"], ["##"]]), 4), ((["."], []), 0)),
        draw=_tiling,
        edges=(([".."], [["##"], ["#"], ["#"]]), (["##"], [["#"]])),
        drawn=20,
    ),
    Program(
        solve=sheet,
        minutes=150,
        told=(
            "Work out a sheet {cell: text}. A cell is a letter and a number. A text that is a whole number is "
            "that; one with '=' in front is a sum of whole numbers, cells, + - * / (whole division, downwards) "
            "and brackets, and SUM, MAX, COUNT of a range as in SUM(A1:B2), whose values are all its cells; any "
            "other text is itself. An absent or empty cell is 0. Errors: '#CYCLE' for every cell that needs "
            "itself, however indirectly; '#PARSE' for a sum that cannot be read; '#DIV' for division by 0; "
            "'#TYPE' for reading a cell that is a text. A cell that reads one with an error, from left to right, "
            "has the first error it meets. Give {cell: value}."
        ),
        examples=(
            (({"A1": "2", "A2": "=A1*3+B9", "B1": "=SUM(A1:A2)"},), {"A1": 2, "A2": 6, "B1": 8}),
            (
                ({"A1": "=A2", "A2": "=A1", "A3": "hi", "A4": "=A3"},),
                {"A1": "#CYCLE", "A2": "#CYCLE", "A3": "hi", "A4": "#TYPE"},
            ),
        ),
        draw=_sheet,
        edges=(
            ({"A1": "=(2-9)/2", "A2": "=COUNT(A1:B1)*A1"},),
            ({"A1": "=1/0", "A2": "=A1+1", "A3": "=2+"},),
            ({"A1": "=A2", "A2": "=A2"},),
        ),
        drawn=30,
    ),
    Program(
        solve=satisfy,
        minutes=150,
        told=(
            "Clauses are lists of whole numbers: n stands for 'n is true', -n for 'n is false', and one of a "
            "clause must hold. Give a choice for every number that occurs, in rising order, as n or -n, that "
            "meets all clauses; of several, the one that makes 1 true if it can, then 2, and so on. None where "
            "there is none. There may be 20 numbers and 100 clauses, and it should take well under a second."
        ),
        examples=((([[1, 2], [-1, 2], [-2, 3]],), [1, 2, 3]), (([[1], [-1]],), None)),
        draw=_clauses,
        edges=(([],), ([[]],), ([[-1, -2], [-1, 2]],)),
        drawn=16,
    ),
    Program(
        solve=run_machine,
        minutes=150,
        told=(
            "Run a program on a machine with registers a b c d (0 at first), a memory of cells (0 at first) and a"
            " stack. A line is one instruction, words split by spaces or commas; '#' starts a comment; 'name:' in"
            " front labels the next instruction. A value is a number, a register, or [value], the memory cell of "
            "that number. mov add sub mul x y put y, x+y, x-y, x*y into x, wrapped to -32768..32767. jmp L; jz v "
            "L and jn v L jump if v is 0, or negative. call L and ret, push v and pop x use the one stack. in x "
            "takes the next input, out v gives output, halt ends, as does running past the end. Give [how it "
            "ended, [outputs]]: 'done'; 'fault' for an unknown word, label or register to write, an empty stack "
            "or no input left; 'limit' when `most` instructions were run and another is due. call and ret keep "
            "the number of the next instruction on the stack."
        ),
        examples=((("in a\nadd a 1\nout a", [4], 50), ["done", [5]]), (("l: jmp l", [], 9), ["limit", []])),
        draw=_machine,
        edges=(
            ("mov a 30000\nadd a a\nout a", [], 9),
            ("mov a -32768\nsub a 1\nout a", [], 9),
            ("call f\nf: pop a\nout a", [], 9),
        ),
        drawn=30,
    ),
    Program(
        solve=normal_form,
        minutes=150,
        told=(
            "Multiply out a polynomial with whole-number coefficients. Variables are single letters; factors may "
            "stand side by side or with '*'; '^' takes a number; a minus sign may stand before a factor and binds"
            " less tightly than '^'. Write the terms by degree, highest first, then by their letters written out "
            "(x^2 y is 'xxy'), as in '2x^2 - xy + 3': coefficient 1 is left out before letters, as is exponent 1;"
            " letters are in order. '0' for nothing; None for what cannot be read."
        ),
        examples=((("(x+y)(x-y)",), "x^2 - y^2"), (("2 x x - 3 + -x^2",), "x^2 - 3"), (("x +",), None)),
        draw=_polynomial,
        edges=(("(x - x)",), ("b*a",), ("(x+1)^3",), ("-(x - y)",)),
        drawn=30,
    ),
    Program(
        solve=schedule,
        minutes=150,
        told=(
            "Simulate one processor. A job is [name, arrival, priority, bursts]: ticks of work, ticks of waiting,"
            " ticks of work and so on, first and last of them work. At the start of a tick, jobs that arrive (by "
            "name) and then those whose waiting is over (by name) join the end of the queue. Then the running job"
            " goes to the end of the queue if it has used up its slice, or if one of the queue has a better "
            "(lower) priority. Then, if none runs, the best priority of the queue does, of equals the one that is"
            " further in front, with a new slice. It works one tick. A burst of work that ends frees the "
            "processor; waiting begins with the next tick. Give who worked in each tick, '.' for none, until all "
            "is done."
        ),
        examples=(
            (([["A", 0, 1, [2]], ["B", 0, 1, [1]]], 1), ["A", "B", "A"]),
            (([["A", 1, 1, [1, 2, 1]]], 3), [".", "A", ".", ".", "A"]),
        ),
        draw=_jobs,
        drawn=30,
    ),
    Program(
        solve=choose_versions,
        minutes=180,
        told=(
            "Choose versions. `index` has {package: {version: {package: rule}}}, `wanted` {package: rule}. "
            "Versions are numbers with dots, compared number by number. A rule is parts joined by commas, all of "
            "which must hold: >= <= < > == != and a version, or a version alone (==), or ~ and a version: at "
            "least that, and the same first number. Only what is wanted or needed is chosen. Take packages one by"
            " one, always the first in the alphabet that is needed and not chosen yet, and try its highest "
            "version first; go back when a rule cannot be kept. Give {package: version}, or None."
        ),
        examples=(
            (({"a": {"1.0": {"b": "<2.0"}}, "b": {"1.9": {}, "2.0": {}}}, {"a": ">=1.0"}), {"a": "1.0", "b": "1.9"}),
            (({"a": {"1.0": {}}}, {"a": ">1.0"}), None),
        ),
        draw=_index,
        drawn=30,
    ),
    Program(
        solve=infer_type,
        minutes=240,
        told=(
            "Infer the most general type of a term. Terms: names, whole numbers (type int), \\name. term (as far "
            "right as it goes), application by writing side by side (to the left), brackets, and 'let name = term"
            " in term', whose name may be used at several types. 'add' has type int -> int -> int. Write '->' to "
            "the right with brackets only where needed, and type variables as a, b, c in order of appearance. "
            "None for a term that has no type, an unknown name, or what cannot be read."
        ),
        examples=(((r"\x. add x 1",), "int -> int"), ((r"\f. \x. f x",), "(a -> b) -> a -> b"), ((r"\x. x x",), None)),
        draw=_term,
        edges=((r"let f = \x. x in f f 1",), (r"\f. let g = f in add (g 1) (g 2)",)),
        drawn=30,
    ),
    Program(
        solve=run_script,
        minutes=300,
        told=(
            "Run a program and give what it prints. Statements: let name = e; name = e; print e; return e; e; "
            "while e {...} and if e {...} with or without else {...}. Expressions: whole numbers, names, e(e, "
            "...), fn(names) {...}, brackets, a minus sign before a value, * and / (whole division, downwards), +"
            " and -, and < > == != <= >= (1 or 0) bind in this order, all to the left; name = e is an expression "
            "only as a whole statement. Every block has names of its own; 'let' makes a name in the innermost "
            "block, assignment changes the nearest. Functions keep the names around them, and give 0 without a "
            "return. 0 is false. At the end of what was printed stands 'fault' where an unknown name is read or "
            "set, a number is called or a function calculated with, arguments do not fit, something is divided by"
            " 0, or a return stands outside; and 'limit' where more than 20000 expressions were worked out. A "
            "program that cannot be read gives ['syntax']."
        ),
        examples=(
            (("let x = 2; print x * 3 + 1;",), [7]),
            (("let f = fn(a) { return a + 1; }; print f(4);",), [5]),
            (("print 1; print y;",), [1, "fault"]),
            (("print ;",), ["syntax"]),
        ),
        draw=_script,
        drawn=30,
    ),
    Program(
        solve=answer_query,
        minutes=300,
        told=(
            "Answer a query from rules. A term is a name, a Variable (capital first) or name(term, ...). A rule "
            "is 'head' or 'head :- goal, goal'. Prove goals from left to right, rules in order, depth first, with"
            " an occurs check; a branch ends without a proof after more than 60 steps. Give the query's "
            "variables, {Variable: term}, for each proof in order, without repeats, at most 20; a variable that "
            "is still free is '_', and terms are written without spaces. A query without variables gives [{}] "
            "where it holds and [] where it does not."
        ),
        examples=(
            ((["p(a)", "p(b)", "q(X) :- p(X)"], "q(Y)"), [{"Y": "a"}, {"Y": "b"}]),
            ((["same(X, X)"], "same(f(A), f(b))"), [{"A": "b"}]),
        ),
        draw=_query,
        edges=((["p(a)", "p(a)", "p(b)"], "p(X)"), (["p(X)"], "p(Y)"), (["n(z)", "n(s(X)) :- n(X)"], "n(X)")),
        drawn=24,
    ),
    Program(
        solve=legal_moves,
        minutes=360,
        told=(
            "Count the legal moves of a chess position, given as in FEN: pieces, side to move, castling rights, "
            "en passant cell. All rules of movement count: no move may leave the own king attacked; castling "
            "needs the right, free cells between, and a king that neither stands on, crosses nor reaches an "
            "attacked cell; a pawn that reaches the last row counts as four moves."
        ),
        examples=(
            (("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -",), 20),
            (("7k/5Q2/6K1/8/8/8/8/8 b - -",), 0),
        ),
        draw=_position,
        edges=tuple((position,) for position in _POSITIONS),
        drawn=16,
    ),
)
