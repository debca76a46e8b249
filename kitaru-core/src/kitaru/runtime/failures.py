# STAND-IN until merge
import traceback


def failure_from(e, *, origin, codec):
    return {
        "message": str(e),
        "exception_type": type(e).__name__,
        "module": type(e).__module__,
        "origin": str(origin),
        "traceback": "".join(traceback.format_exception(e)),
    }


def exception_from(f, codec):
    import builtins

    c = getattr(builtins, f.get("exception_type", ""), RuntimeError)
    return c(f.get("message"))
