# Debian packages, one for each place where signalbox runs: signalbox-server, signalbox-cli, signalbox-edge,
# signalbox-gateway.
# `./dev package` builds them and asks lintian.
set(here ${CMAKE_CURRENT_LIST_DIR})
set(out ${CMAKE_BINARY_DIR}/packaging)
set(CPACK_GENERATOR DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "the signalbox authors <signalbox@signalbox.invalid>")
set(CPACK_COMPONENTS_ALL server cli edge gateway)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# A manual page, from what the program says of itself (man.sh).
function(sb_page component program section line name)
  set(page ${out}/${name}.${section}.gz)
  add_custom_command(OUTPUT ${page} DEPENDS ${program} ${here}/man.sh ${CMAKE_SOURCE_DIR}/server/cli/commands.def
    COMMAND sh -c "\"$1\" \"$2\" $3 \"$4\" $6 | gzip -9n >\"$5\"" sh ${here}/man.sh $<TARGET_FILE:${program}> ${section} ${line} ${page} "${ARGN}"
    VERBATIM)
  add_custom_target(${name}-page DEPENDS ${page})
  add_dependencies(package-files ${name}-page)
  install(FILES ${page} DESTINATION share/man/man${section} COMPONENT ${component})
endfunction()

# What every package has: copyright, changelog, a manual page for each program.
function(sb_package component program section line)
  set(name signalbox-${component})
  string(TOUPPER ${component} upper)
  sb_page(${component} ${program} ${section} ${line} ${program} ${ARGN})
  set(changelog ${out}/${name}/changelog.gz)
  add_custom_command(OUTPUT ${changelog} DEPENDS ${CMAKE_SOURCE_DIR}/CHANGELOG.md ${here}/changelog.sh
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}/${name}
    COMMAND sh -c "\"$1\" $2 $3 \"$4\" <\"$5\" | gzip -9n >\"$6\"" sh ${here}/changelog.sh ${name}
      ${CPACK_PACKAGE_VERSION} ${CPACK_PACKAGE_CONTACT} ${CMAKE_SOURCE_DIR}/CHANGELOG.md ${changelog} VERBATIM)
  add_custom_target(${name}-files DEPENDS ${changelog})
  add_dependencies(package-files ${name}-files)
  install(FILES ${changelog} ${here}/copyright DESTINATION share/doc/${name} COMPONENT ${component})
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
endfunction()

# A package with units: its user, and what dpkg runs.
function(sb_package_units component state)
  set(UNITS ${ARGN})
  list(JOIN UNITS " " UNITS)
  list(GET ARGN 0 RESTARTED) # HAProxy of an edge serves on, the forwarder of a gateway forwards on
  set(STATE ${state})
  set(SYSUSERS signalbox-${component}.conf)
  string(TOUPPER ${component} upper)
  foreach(script IN ITEMS postinst prerm postrm)
    configure_file(${here}/${script}.in ${out}/${component}/${script} @ONLY
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND extra ${out}/${component}/${script})
  endforeach()
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA ${extra} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS
    "systemd | systemd-standalone-sysusers, init-system-helpers (>= 1.54)" PARENT_SCOPE)
endfunction()

add_custom_target(package-files)
sb_package(server signalboxd 8 "control server of a multi-active site")
sb_page(server signalboxd 5 "settings of signalboxd" signalboxd.yaml ${CMAKE_SOURCE_DIR}/server/signalboxd.yaml)
sb_package_units(server /var/lib/signalbox signalboxd.service)
sb_package(edge signalbox-edge 8 "agent of an edge, beside its HAProxy")
sb_page(edge signalbox-edge 5 "settings of signalbox-edge" edge.conf ${CMAKE_SOURCE_DIR}/dcdn/edge.conf)
sb_package_units(edge /var/lib/signalbox-edge signalbox-edge.service signalbox-haproxy.service)
string(APPEND CPACK_DEBIAN_EDGE_PACKAGE_DEPENDS ", haproxy (>= 2.6), procps") # kill, to reload HAProxy
sb_package(gateway signalbox-gateway 8 "agent of a gateway, beside its forwarder and BIRD")
sb_page(gateway signalbox-forwarder 8 "packet forwarder of a gateway" signalbox-forwarder)
sb_page(gateway signalbox-gateway 5 "settings of signalbox-forwarder and signalbox-gateway" gateway.conf
  ${CMAKE_SOURCE_DIR}/gateway/gateway.conf)
sb_package_units(gateway /var/lib/signalbox-gateway signalbox-gateway.service signalbox-forwarder.service)
# What DPDK loads by itself, of the version that it is built with.
string(APPEND CPACK_DEBIAN_GATEWAY_PACKAGE_DEPENDS
  ", bird2, librte-bus-vdev23, librte-mempool-ring23, librte-net-af-packet23")
set(CPACK_DEBIAN_GATEWAY_PACKAGE_RECOMMENDS ethtool) # which ports are made fit with
set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS signalbox-cli)
file(STRINGS ${CMAKE_SOURCE_DIR}/server/cli/commands.def commands REGEX "^COMMAND\\(")
list(TRANSFORM commands REPLACE "^COMMAND\\(([a-z-]+),.*" "\\1")
list(JOIN commands " " commands)
sb_package(cli signalbox 1 "moves and explains the traffic of a multi-active site" ${commands})

set(CPACK_DEBIAN_SERVER_DESCRIPTION "multi-active traffic control, control server
Knows which road every kind of traffic takes through a site of several
computer rooms, and moves it by contingency plans with proof and undo.
This is the server: API, journal, plans, DNS drivers.")
set(CPACK_DEBIAN_CLI_DESCRIPTION "multi-active traffic control, command line
Looks at a site, moves levers, runs contingency plans, explains the road of
a request; over the API of signalboxd.")
set(CPACK_DEBIAN_EDGE_DESCRIPTION "multi-active traffic control, agent of an edge
Brings tables of signalboxd to the HAProxy of an edge node, keeps the last
good one on disk, and serves on with every control server dead.")

set(CPACK_DEBIAN_GATEWAY_DESCRIPTION "multi-active traffic control, gateway of a room
Forwards TCP and UDP to a room's servers and over its dedicated lines (DPDK),
checks those servers, and announces the room's addresses by BIRD for as long
as it can serve them; with every control server dead, too.")

install(FILES ${CMAKE_SOURCE_DIR}/server/signalboxd.service DESTINATION /lib/systemd/system COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/server/signalbox-server.sysusers DESTINATION lib/sysusers.d
  RENAME signalbox-server.conf COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/server/signalboxd.yaml DESTINATION share/doc/signalbox-server/examples COMPONENT server)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/runbooks DESTINATION share/signalbox COMPONENT server FILES_MATCHING PATTERN "*.yaml")
install(FILES ${CMAKE_SOURCE_DIR}/dcdn/signalbox-edge.service ${CMAKE_SOURCE_DIR}/dcdn/signalbox-haproxy.service
  DESTINATION /lib/systemd/system COMPONENT edge)
install(FILES ${CMAKE_SOURCE_DIR}/dcdn/signalbox-edge.sysusers DESTINATION lib/sysusers.d
  RENAME signalbox-edge.conf COMPONENT edge)
install(FILES ${CMAKE_SOURCE_DIR}/dcdn/edge.conf DESTINATION share/doc/signalbox-edge/examples COMPONENT edge)
install(FILES ${CMAKE_SOURCE_DIR}/gateway/signalbox-gateway.service
  ${CMAKE_SOURCE_DIR}/gateway/signalbox-forwarder.service DESTINATION /lib/systemd/system COMPONENT gateway)
install(FILES ${CMAKE_SOURCE_DIR}/gateway/signalbox-gateway.sysusers DESTINATION lib/sysusers.d
  RENAME signalbox-gateway.conf COMPONENT gateway)
install(FILES ${CMAKE_SOURCE_DIR}/gateway/gateway.conf ${CMAKE_SOURCE_DIR}/gateway/bird.conf
  DESTINATION share/doc/signalbox-gateway/examples COMPONENT gateway)
install(FILES ${here}/completion.bash DESTINATION share/bash-completion/completions RENAME signalbox COMPONENT cli)
include(CPack)
