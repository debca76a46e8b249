"""A type that only Acme can store."""


class Tensor:
    def __init__(self, numbers: list[float]) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tensor) and other.numbers == self.numbers

    def __hash__(self) -> int:
        return hash(tuple(self.numbers))

    def __reduce__(self) -> str:
        raise TypeError("a Tensor cannot be pickled")
