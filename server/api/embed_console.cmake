# cmake -DDIST=DIR -DOUT=FILE -P embed_console.cmake: writes console_files.c, which takes in what the build of web/ left
# in DIR, raw and gzipped; without DIST: no file at all. The hashes stand in the text, so that other bytes make another text.
set(types html "text/html\; charset=utf-8" js "text/javascript\; charset=utf-8" css "text/css\; charset=utf-8" svg "image/svg+xml")
set(symbols "")
set(rows "")
set(files "")
if(DIST)
  file(GLOB_RECURSE files RELATIVE ${DIST} ${DIST}/*)
  list(FILTER files EXCLUDE REGEX "\\.gz$")
  list(SORT files)
endif()
set(n 0)
foreach(file IN LISTS files)
  string(REGEX REPLACE ".*\\." "" extension ${file})
  list(FIND types ${extension} at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${DIST}/${file}: found the ending ${extension}, expected one of: ${types}")
  endif()
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  file(SHA256 ${DIST}/${file} hash)
  string(SUBSTRING ${hash} 0 16 hash)
  string(APPEND symbols "BYTES(raw_${n}, \"${DIST}/${file}\")\nBYTES(gzip_${n}, \"${DIST}/${file}.gz\")\n")
  string(APPEND rows "    {\"/${file}\", \"${type}\", \"${hash}\", raw_${n}, raw_${n}_end, gzip_${n}, gzip_${n}_end},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUT} "#include \"server/api/console.h\"

#define BYTES(name, path) \\
    __asm__(\".section .rodata,\\\"a\\\",@progbits\\n\" #name \":\\n.incbin \\\"\" path \"\\\"\\n\" #name \"_end:\\n.byte 0\\n.text\\n\"); \\
    extern const unsigned char name[], name##_end[];
${symbols}
const struct console_file console_files[] = {
${rows}    {0},
};
")
