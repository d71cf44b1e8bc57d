#include "base/io.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

int hl_io_write_all(const hl_io *io, hl_io_file file, const void *bytes, size_t size,
                    uint64_t offset, size_t *ret_done)
{
    size_t done = 0;
    int64_t result = 0;
    while (done < size) {
        result = io->pwrite(io->context, file, (const uint8_t *)bytes + done, size - done,
                            offset + done);
        if (result == -EINTR)
            continue;
        if (result == 0)
            result = -EIO; /* a disk that takes nothing and says nothing */
        if (result < 0)
            break;
        done += (size_t)result;
    }
    if (ret_done != NULL)
        *ret_done = done;
    return done == size ? 0 : (int)result;
}

int64_t hl_io_read_all(const hl_io *io, hl_io_file file, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        const int64_t result =
            io->pread(io->context, file, (uint8_t *)bytes + done, size - done, offset + done);
        if (result == -EINTR)
            continue;
        if (result < 0)
            return result;
        if (result == 0)
            break;
        done += (size_t)result;
    }
    return (int64_t)done;
}

hl_status hl_io_error(hl_error *error, int64_t result, const char *path, const char *what)
{
    const int number = (int)-result;
    const char *remedy = "";
    if (number == ENOSPC || number == EDQUOT)
        remedy = "; free some, or set a smaller retention";
    else if (number == EACCES || number == EPERM || number == EROFS)
        remedy = "; the process needs to write there";
    else if (number == EIO)
        remedy = "; look at the disk (dmesg)";
    const hl_status status = number == ENOSPC || number == EDQUOT ? HL_NO_SPACE : HL_SYSTEM;
    return hl_error_set(error, status, "%s: cannot %s: %s%s", path, what, strerrordesc_np(number),
                        remedy);
}
