# The rules of the house as CMake functions. Sourced by the top-level CMakeLists.txt.
add_library(uni_options INTERFACE)
target_compile_options(uni_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                       -Werror=return-type -Werror=unused-result -fno-omit-frame-pointer)
if(UNI_SANITIZE)
  # clang 14 cannot put the function check's mark before a coroutine ("difference across sections").
  target_compile_options(uni_options INTERFACE -fsanitize=${UNI_SANITIZE} -fno-sanitize-recover=all
                         $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
  # The vptr check looks at memory through a pipe: without a descriptor left, every object is wrong.
  target_compile_options(uni_options INTERFACE -fno-sanitize=vptr)
  # An empty optional or an index past the end is as much a finding as a bad pointer.
  target_compile_definitions(uni_options INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(uni_options INTERFACE -fsanitize=${UNI_SANITIZE})
endif()

# uni_library(FOLDER DEPS...): all .cpp of FOLDER (main.cpp excepted) as library uni_FOLDER.
function(uni_library folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(sources)
    add_library(uni_${folder} STATIC ${sources})
    target_include_directories(uni_${folder} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(uni_${folder} PUBLIC ${ARGN} PRIVATE uni_options)
  else()
    add_library(uni_${folder} INTERFACE)
    target_include_directories(uni_${folder} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(uni_${folder} INTERFACE ${ARGN})
  endif()
endfunction()

# uni_test(FOLDER LABEL DEPS...): all .cpp of tests/FOLDER as one GoogleTest program, each test a ctest test.
function(uni_test folder label)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${folder} ${sources})
  target_include_directories(test_${folder} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(test_${folder} PRIVATE ${ARGN} uni_options GTest::gtest_main GTest::gmock)
  target_compile_definitions(test_${folder} PRIVATE
    UNI_BINARY="$<TARGET_FILE:usernetes-identity>" UNI_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  gtest_discover_tests(test_${folder} TEST_PREFIX ${folder}/ DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${label} TIMEOUT 900)
endfunction()

# uni_embed(FOLDER HEADER NAME FILE...): a generated header in which constant NAME is the text of FILE.
function(uni_embed folder header)
  set(text "#pragma once\n#include <string_view>\n")
  while(ARGN)
    list(POP_FRONT ARGN name file)
    file(READ ${CMAKE_SOURCE_DIR}/${file} content)
    string(APPEND text "inline constexpr std::string_view ${name} = R\"embedded(${content})embedded\";\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
  endwhile()
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/${header} CONTENT "${text}")
  target_include_directories(uni_${folder} PRIVATE ${CMAKE_BINARY_DIR})
endfunction()
