"""Which weights of a finished model a new one takes, and how."""

import torch

from serenanet_modules.errors import UserError
from serenanet_modules.runs.origin import ACOUSTIC
from serenanet_modules.runs.public_parts import referenced, referred_by, tensors_of

MASKED = f"{ACOUSTIC}pessl."  # begins the names of masked prediction's weights
COLUMNS = {"loaded": "loaded", "by_symbol": "by symbol", "new": "new", "left_out": "left out"}


class Transfer:
    """A plan, made before any long work.

    The acoustic model must be alike, tensor by tensor. A head, such as a decoder, is taken where its sizes are the
    same, and else is new. Of a head over other units the rows of symbols that both have are taken, and the rest of it;
    rows of other symbols stay new.

    Parameters
    ----------
    origin : Origin
    model : Module
        With ``acoustic``.
    units : Units, optional
        Of the model's heads.
    unit_parts : list of Module
        Its modules whose tensors have a row for each unit.
    masked : bool
        Whether masked prediction goes on with the origin's clusters, and so must be alike too.
    where : Path
        The model's file, which errors name.

    Attributes
    ----------
    whole : list of str
        Tensors that are taken as they are.
    by_symbol : list of str
        Tensors of which rows are taken.
    symbols : list of (int, int)
        Units that both have: the number here, the number there. Empty where the units are the same ones.

    Raises
    ------
    UserError
        With the first tensor of the acoustic model that differs, and both shapes. A buffer that the origin lacks is a
        constant, or a statistic to be fitted; a public part that either folder refers to has its weights from
        elsewhere. And for a public encoder with other weights than the origin refers to.
    """

    def __init__(self, origin, model, units=None, unit_parts=(), masked=False, where=""):
        self.origin, self.units = origin, units
        self.own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        fixed = {name for name, _ in model.named_buffers()} | referenced(model) | self._referred(model)
        self._constants = fixed - origin.tensors.keys()
        self.theirs = {name: tensor.shape for name, tensor in origin.tensors.items()}
        self.statistics = {f"{ACOUSTIC}{name}" for name in model.acoustic.statistics}
        self._check(masked, where)
        ids = {id(t) for part in unit_parts for t in part.state_dict(keep_vars=True).values()}
        self._rows = {name for name, t in model.state_dict(keep_vars=True).items() if id(t) in ids}
        self.symbols = self._shared()
        names = [name for part in self._parts().values() if self._fits(part) for name in part]
        self.by_symbol = [name for name in names if self.symbols and name in self._rows]
        self.whole = [name for name in names if name not in self.by_symbol]

    def _referred(self, model):
        """Names of tensors that the origin refers to; what its acoustic model was trained over is the same here."""
        found = set()
        for kind, part, told in referred_by(self.origin.hparams, model):
            found.update(tensors_of(kind, part))
            if kind.place.startswith(ACOUSTIC) and told["sha256"] != part.sha256:
                raise UserError(
                    f"pretrained: {self.origin.name} was trained over the weights of {told['source']} with the SHA-256 "
                    f"{told['sha256']}, not over those of {part.source}; give the same ones with --{kind.key}.source"
                )
        return found

    def _check(self, masked, where):
        for name in {**self.own, **self.theirs}:
            must = name.startswith(ACOUSTIC) and (masked or not name.startswith(MASKED))
            if must and name not in self._constants and self.own.get(name) != self.theirs.get(name):
                raise UserError(
                    f"pretrained: {name} is {_shape(self.theirs.get(name))} in {self.origin.name}, but "
                    f"{_shape(self.own.get(name))} in the model of {where}; give "
                    + (self.origin.options or "both the same parts and sizes")
                )

    def _shared(self):
        if self.units is None or self.origin.units is None or self.units.pieces == self.origin.units.pieces:
            return []
        there = {piece: i for i, piece in enumerate(self.origin.units.pieces)}
        return [(i, there[piece]) for i, piece in enumerate(self.units.pieces) if piece in there]

    def _parts(self):
        """Names of tensors of both models by part; statistics and constants are of none."""
        parts = {}
        for name in {**self.own, **self.theirs}:
            if name not in self.statistics and name not in self._constants:
                parts.setdefault(name.removeprefix(ACOUSTIC).partition(".")[0], []).append(name)
        return parts

    def _fits(self, names):
        """Whether a part is in both models, with the same sizes but for units."""
        shapes = [(name, self.own.get(name), self.theirs.get(name)) for name in names]
        if any(own is None or theirs is None for _, own, theirs in shapes):
            return False
        if self.origin.units is None and not self._rows.isdisjoint(names):
            return False  # as many units may be other ones
        skipped = {name: int(bool(self.symbols) and name in self._rows) for name in names}
        return all(own[skipped[name] :] == theirs[skipped[name] :] for name, own, theirs in shapes)

    def given(self):
        """Tensors that are taken whole, by name."""
        return {name: self.origin.tensors[name] for name in self.whole}

    @torch.no_grad()
    def load_into(self, model):
        """Give the model what it takes."""
        own, taken = model.state_dict(), self.given()
        for name in self.by_symbol:
            here, there = map(list, zip(*self.symbols, strict=True))
            taken[name] = own[name].clone()
            taken[name][here] = self.origin.tensors[name][there].to(own[name])
        model.load_state_dict(taken, strict=False)

    def counts(self):
        """Parameters that were loaded, taken by symbol, made new and left out, by part."""
        counts = {}
        for part, names in self._parts().items():
            row = dict.fromkeys(COLUMNS, 0)
            for name in names:
                own, theirs = (shapes[name].numel() if name in shapes else 0 for shapes in (self.own, self.theirs))
                kept = own if name in self.whole else 0
                rows = len(self.symbols) * self.own[name][1:].numel() if name in self.by_symbol else 0
                for column, n in zip(COLUMNS, (kept, rows, own - kept - rows, theirs - kept - rows), strict=True):
                    row[column] += n
            counts[part] = row
        return counts

    def about(self):
        """Entries of result.json."""
        symbols = {"kept": len(self.symbols), "of": self.units.size} if self.by_symbol else None
        return {"parts": self.counts(), **({"symbols": symbols} if symbols else {})}

    def table(self):
        """The same, for people."""
        rows = [f"parameters from {self.origin.name}", f"{'part':<12}" + "".join(f"{c:>14}" for c in COLUMNS.values())]
        rows += [f"{part:<12}" + "".join(f"{n:>14,}" for n in row.values()) for part, row in self.counts().items()]
        if self.by_symbol:
            rows.append(f"units: {len(self.symbols)} of {self.units.size} are in the model that it starts from too")
        return "\n".join(rows)


def _shape(shape):
    return "not there" if shape is None else "×".join(map(str, shape)) or "a single number"
