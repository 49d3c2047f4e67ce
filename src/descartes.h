/*-------------------------------------------------------------------------
 *
 * descartes.h
 *	  What the whole extension shares.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_H
#define DESCARTES_H

/* As in descartes.control; the regression tests compare the two. */
#define DESCARTES_VERSION	"0.0.1"

/* descartes.simd while it stands on "auto"; otherwise it is a SimdLevel. */
#define DESCARTES_SIMD_AUTO	(-1)

extern int	descartes_simd;
extern const char *descartes_simd_setting(void);

#endif							/* DESCARTES_H */
