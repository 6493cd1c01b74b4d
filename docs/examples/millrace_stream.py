"""Record batches through millrace and back, as they come."""

import subprocess
import threading

import pyarrow as pa


def scored(batches, schema, *flags):
    """Yield each of batches as millrace gives it back; flags are those of millrace score.

    An exception, of batches or of millrace, is raised here, and what was yielded before it
    is then not the whole.
    """
    process = subprocess.Popen(
        ["millrace", "score", "--input", "-", "--output", "-", "--quiet", *flags],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    failed = []

    def feed():
        try:
            out = pa.ipc.new_stream(process.stdin, schema)
            for batch in batches:
                out.write_batch(batch)
                process.stdin.flush()
            # Only now: the end mark says that these are all. A with block would write it
            # after an exception too.
            out.close()
            process.stdin.close()
        except BrokenPipeError:
            pass  # millrace has ended, and its exit status says why
        except BaseException as e:
            failed.append(e)
            process.terminate()

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with process.stdout, pa.ipc.open_stream(process.stdout) as back:
            yield from back
    except pa.ArrowInvalid:
        pass  # nothing came back: again the exit status says why
    finally:
        process.stdout.close()  # who stops in between stops millrace
        code = process.wait()
        feeder.join()
    if failed:
        raise failed[0]
    # pyarrow takes a stream without an end mark for a whole one. This tells.
    if code != 0:
        raise RuntimeError(f"millrace ended with exit status {code}")
